//! Envelopes that earlier releases wrote stay readable, and what is written now is what they wrote.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

use aeth_core::Tag;
use aeth_core::cache::{CodecId, Entry, EntryFlags, EnvelopeError, decode_envelope, encode_envelope};
use bytes::Bytes;

/// Format version 1, first written by release 0.1.0.
const V1: &[u8] = include_bytes!("../fixtures/envelope-v1.bin");

fn entry() -> Entry {
    let tags: Vec<Tag> = ["tenant:7", "größe"].map(|text| Tag::new(text).unwrap()).into();
    let mut entry = Entry::new(&b"the value\x00\xff"[..], 1_700_000_000_123, 1_700_000_060_123)
        .with_usable_until(1_700_003_600_123)
        .with_version(0x0102_0304_0506_0708)
        .with_tags(tags)
        .with_codec(CodecId::POSTCARD, 0xa1b2_c3d4)
        .with_flags(EntryFlags::ZSTD);
    entry.created = 1_700_000_000_123;
    entry
}

#[test]
fn version_1_stays_readable() {
    assert_eq!(decode_envelope(Bytes::from_static(V1)).unwrap(), entry());
}

#[test]
fn version_1_is_what_is_written() {
    assert_eq!(encode_envelope(&entry()), V1);
}

#[test]
fn other_versions_and_foreign_bytes_are_told_apart() {
    let mut later = V1.to_vec();
    later[4] = 2;
    assert_eq!(decode_envelope(Bytes::from(later)), Err(EnvelopeError::UnknownVersion(2)));
    assert_eq!(decode_envelope(Bytes::from_static(b"PK\x03\x04 and so on")), Err(EnvelopeError::Foreign));
    assert_eq!(decode_envelope(Bytes::new()), Err(EnvelopeError::Foreign));
    assert_eq!(decode_envelope(Bytes::from_static(&V1[..30])), Err(EnvelopeError::Damaged));
}
