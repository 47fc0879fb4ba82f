//! Properties of names, envelopes, histograms, ranges and errors.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

use aeth_core::blob::{Capability, CapabilitySet, GetRange};
use aeth_core::cache::{
    CodecId, ENVELOPE_OVERHEAD, Entry, EntryFlags, EnvelopeError, decode_envelope, encode_envelope,
};
use aeth_core::observe::{Histogram, HistogramSnapshot};
use aeth_core::{BlobPath, Error, ErrorKind, Key, Namespace, Retry, Tag};
use bytes::Bytes;
use proptest::prelude::*;
use std::hash::BuildHasher;

fn tags() -> impl Strategy<Value = Vec<Tag>> {
    prop::collection::vec("[a-zé:/]{1,40}", 0..5)
        .prop_map(|texts| texts.iter().map(|text| Tag::new(text).unwrap()).collect())
}

prop_compose! {
    fn entries()(
        value in prop::collection::vec(any::<u8>(), 0..300),
        times in any::<[u64; 4]>(),
        tags in tags(),
        codec in any::<u16>(),
        schema in any::<u32>(),
        flags in any::<u8>(),
    ) -> Entry {
        let mut entry = Entry::new(value, times[0], times[1])
            .with_usable_until(times[2])
            .with_version(times[3])
            .with_tags(tags)
            .with_codec(CodecId::new(codec), schema)
            .with_flags(EntryFlags::from_bits(flags));
        entry.created = times[0];
        entry
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_is_valid_exactly_by_its_rules(text in ".{0,40}|[a./]{0,12}|(a/){0,10}b|\u{0}") {
        let valid = !text.is_empty()
            && text.len() <= BlobPath::MAX_LEN
            && !text.contains('\0')
            && text.split('/').all(|segment| !segment.is_empty() && segment != "." && segment != "..");
        prop_assert_eq!(BlobPath::new(&text).is_ok(), valid);
        let json = serde_json::to_string(&text).unwrap();
        let read = serde_json::from_str::<BlobPath>(&json);
        prop_assert_eq!(read.is_ok(), valid, "deserialising checks as well");
        if let Ok(path) = read {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert_eq!(serde_json::to_string(&path).unwrap(), json);
            let joined = path.segments().collect::<Vec<_>>().join("/");
            prop_assert_eq!(joined, path.as_str());
            match path.parent() {
                Some(parent) => prop_assert_eq!(parent.join(path.file_name()).unwrap(), path),
                None => prop_assert_eq!(path.file_name(), path.as_str()),
            }
        }
    }

    #[test]
    fn any_bytes_survive_as_a_path(segments in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..6)) {
        let bytes: Vec<u8> = segments.iter().map(|segment| {
            segment.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }).collect::<Vec<u8>>()
        }).collect::<Vec<_>>().join(&b'/');
        let path = BlobPath::encode(&bytes).unwrap();
        prop_assert_eq!(path.decode(), bytes);
        prop_assert_eq!(BlobPath::new(path.as_str()).unwrap(), path);
    }

    #[test]
    fn paths_that_hold_percents_and_dots_survive(text in "[%./a0-9A-F]{1,30}") {
        if let Ok(path) = BlobPath::encode(text.as_bytes()) {
            prop_assert_eq!(path.decode(), text.as_bytes());
        }
    }

    #[test]
    fn namespaces_keys_and_tags_keep_their_rules(text in ".{0,80}|[A-Za-z0-9._-]{0,70}", bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let label = !text.is_empty()
            && text.len() <= 64
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        prop_assert_eq!(Namespace::new(&text).is_ok(), label);
        prop_assert_eq!(Namespace::try_from(text.as_str()).is_ok(), label);
        let tag = !text.is_empty() && text.len() <= 128 && !text.chars().any(char::is_control);
        prop_assert_eq!(Tag::new(&text).is_ok(), tag);
        let key = (1..=512).contains(&bytes.len());
        prop_assert_eq!(Key::check(&bytes).is_ok(), key);
        prop_assert_eq!(Key::new(&bytes).is_ok(), key);
        let json = serde_json::to_string(&bytes).unwrap();
        prop_assert_eq!(serde_json::from_str::<Key>(&json).is_ok(), key, "deserialising checks as well");
        if let Ok(key) = Key::new(&bytes) {
            prop_assert_eq!(key.as_bytes(), &bytes[..]);
            prop_assert!(key.to_string().is_ascii());
        }
    }

    #[test]
    fn keys_order_and_hash_by_their_bytes(
        one in prop::collection::vec(0_u8..3, 1..64),
        two in prop::collection::vec(0_u8..3, 1..64),
        shared in 0_usize..64,
    ) {
        // Often with a long beginning in common, around the length from which keys are held otherwise.
        let two = [&one[..shared.min(one.len())], &two[..]].concat();
        let (first, second) = (Key::new(&one).unwrap(), Key::new(&two).unwrap());
        prop_assert_eq!(first.cmp(&second), one.cmp(&two));
        prop_assert_eq!(first == second, one == two);
        let hashing = std::hash::RandomState::new();
        prop_assert_eq!(hashing.hash_one(&first), hashing.hash_one(&one[..]));
        prop_assert_eq!(first.clone(), first);
    }

    #[test]
    fn an_envelope_gives_its_entry_back(entry in entries()) {
        let envelope = encode_envelope(&entry);
        let tags: usize = entry.tags.iter().map(|tag| 1 + tag.as_str().len()).sum();
        prop_assert_eq!(envelope.len(), ENVELOPE_OVERHEAD + tags + entry.value.len());
        prop_assert_eq!(decode_envelope(envelope).unwrap(), entry);
    }

    #[test]
    fn any_flipped_bit_of_an_envelope_is_noticed(entry in entries(), at in any::<prop::sample::Index>()) {
        let mut bytes = encode_envelope(&entry).to_vec();
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_envelope(Bytes::from(bytes)).is_err());
    }

    #[test]
    fn a_cut_envelope_is_noticed(entry in entries(), at in any::<prop::sample::Index>()) {
        let envelope = encode_envelope(&entry);
        prop_assert!(decode_envelope(envelope.slice(..at.index(envelope.len()))).is_err());
    }

    #[test]
    fn any_bytes_are_decoded_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), count in any::<u16>()) {
        prop_assert!(decode_envelope(Bytes::from(bytes.clone())).is_err());
        // With a right checksum and a wrong inside it is damaged, or an entry, and never a panic.
        let mut inside = b"AETC\x01".to_vec();
        inside.resize(44, 0);
        inside.extend_from_slice(&count.to_le_bytes());
        inside.extend_from_slice(&bytes);
        inside.extend_from_slice(&crc32c::crc32c(&inside).to_le_bytes());
        match decode_envelope(Bytes::from(inside.clone())) {
            Ok(entry) => prop_assert_eq!(encode_envelope(&entry), inside),
            Err(error) => prop_assert_eq!(error, EnvelopeError::Damaged),
        }
    }

    #[test]
    fn a_histogram_counts_everything(values in prop::collection::vec(0_u64..1 << 48, 1..200), q in 0.0..=1.0) {
        let histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        let snapshot = histogram.snapshot();
        prop_assert_eq!(snapshot.count(), values.len() as u64);
        prop_assert_eq!(snapshot.sum(), values.iter().sum::<u64>());
        prop_assert_eq!(snapshot.buckets().map(|(_, n)| n).sum::<u64>(), snapshot.count());
        prop_assert!(snapshot.buckets().map(|(bound, _)| bound).is_sorted());
        let mut sorted = values.clone();
        sorted.sort_unstable();
        let rank = f64::ceil(q * values.len() as f64) as usize;
        let exact = sorted[rank.max(1) - 1];
        let shown = snapshot.quantile(q);
        prop_assert!(shown >= exact && shown <= exact + exact / 8 + 1, "{shown} for {exact}");
        let below = sorted.iter().filter(|value| **value <= exact).count() as u64;
        prop_assert!(snapshot.count_at_or_below(exact) >= below);
    }

    #[test]
    fn histograms_merge_by_addition(one in prop::collection::vec(any::<u64>(), 0..50), two in prop::collection::vec(any::<u64>(), 0..50)) {
        let (a, b, both) = (Histogram::new(), Histogram::new(), Histogram::new());
        one.iter().for_each(|value| { a.record(*value); both.record(*value); });
        two.iter().for_each(|value| { b.record(*value); both.record(*value); });
        let mut merged = HistogramSnapshot::default();
        merged.merge(&a.snapshot());
        merged.merge(&b.snapshot());
        prop_assert_eq!(merged, both.snapshot());
    }

    #[test]
    fn a_range_resolves_inside_the_blob(size in 0_u64..1000, start in 0_u64..1100, end in 0_u64..1100) {
        let ranges = [GetRange::Bounded(start..end), GetRange::From(start), GetRange::Suffix(end)];
        for range in ranges {
            match range.resolve(size) {
                Ok(given) => {
                    prop_assert!(given.start <= given.end && given.end <= size);
                    prop_assert!(!given.is_empty() || size == 0);
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Invalid),
            }
        }
    }

    #[test]
    fn a_set_of_capabilities_is_a_set(picked in prop::collection::vec(0_usize..Capability::ALL.len(), 0..30)) {
        let wanted: std::collections::BTreeSet<Capability> = picked.iter().map(|i| Capability::ALL[*i]).collect();
        let set: CapabilitySet = wanted.iter().copied().collect();
        for capability in Capability::ALL {
            prop_assert_eq!(set.has(capability), wanted.contains(&capability));
            prop_assert!(!set.without(capability).has(capability));
            prop_assert!(set.with(capability).has(capability));
        }
        prop_assert_eq!(set.iter().collect::<std::collections::BTreeSet<_>>(), wanted);
    }

    #[test]
    fn an_error_says_all_that_it_knows(message in "[a-z ]{1,30}", key in prop::option::of("[a-z/]{1,20}"), component in prop::option::of("[a-z]{1,10}"), remedy in prop::option::of("[a-z ]{1,20}")) {
        let mut error = Error::new(ErrorKind::Busy, message.clone()).with_operation("put").with_operation("get");
        if let Some(component) = component.clone() {
            error = error.with_component(component).with_component("outer");
        }
        if let Some(key) = &key {
            error = error.with_key(key).with_key("outer");
        }
        if let Some(remedy) = remedy.clone() {
            error = error.with_remedy("inner").with_remedy(remedy);
        }
        let text = error.to_string();
        prop_assert!(text.contains(&message) && text.starts_with("put"));
        for (given, shown) in [
            (&key, key.as_ref().map(|key| ["`", key, "`"].concat())),
            (&component, component.as_ref().map(|component| ["in ", component].concat())),
            (&remedy, remedy.as_ref().map(|remedy| ["(", remedy, ")"].concat())),
        ] {
            prop_assert!(given.is_none() || shown.is_some_and(|shown| text.contains(&shown)));
        }
        prop_assert!(!text.contains("outer") && !text.contains("inner"));
        let clone = error.clone().with_retry(Retry::Exhausted);
        prop_assert_eq!((error.retry(), clone.retry()), (Retry::After(std::time::Duration::ZERO), Retry::Exhausted));
    }
}
