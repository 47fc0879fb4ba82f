//! Whatever happens to a sealed object, opening it fails, and what was handed out before was genuine.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use aeth_core::seal::{Commitment, Keyset, SegmentSize};
use aeth_core::{Error, ErrorKind};
use bytes::{Bytes, BytesMut};
use fastrand::Rng;

const SEGMENT: usize = 1024;
const MUTATIONS: usize = 100_000;

struct Object {
    plain: Vec<u8>,
    sealed: Vec<u8>,
    commitment: Commitment,
}

fn object(keyset: &Keyset, rng: &mut Rng, len: usize) -> Object {
    let mut plain = vec![0; len];
    rng.fill(&mut plain);
    let (sealed, commitment) = keyset.seal(b"identity", &plain).unwrap();
    Object { plain, sealed: sealed.to_vec(), commitment }
}

/// Streams `sealed` through an opener in random pieces; what came out, and how it ended.
fn stream(
    keyset: &Keyset,
    aad: &[u8],
    commitment: Option<&Commitment>,
    sealed: &[u8],
    rng: &mut Rng,
) -> (Vec<u8>, Result<(), Error>) {
    let mut opener = keyset.opener(aad, commitment);
    let mut out = Vec::new();
    let mut rest = Bytes::copy_from_slice(sealed);
    while !rest.is_empty() {
        let mut piece = rest.split_to(rng.usize(1..=rest.len()));
        loop {
            match opener.push(&mut piece) {
                Ok(Some(part)) => out.extend_from_slice(&part),
                Ok(None) => break,
                Err(error) => {
                    assert!(
                        opener.push(&mut Bytes::from_static(b"more")).is_err(),
                        "works on after a failure"
                    );
                    assert!(opener.finish().is_err(), "finishes after a failure");
                    return (out, Err(error));
                }
            }
        }
    }
    match opener.finish() {
        Ok(part) => {
            out.extend_from_slice(&part);
            (out, Ok(()))
        }
        Err(error) => (out, Err(error)),
    }
}

/// Reads all of `sealed` as a range, believing the length that it has.
fn ranged(keyset: &Keyset, commitment: &Commitment, sealed: &[u8], rng: &mut Rng) -> Result<Bytes, Error> {
    let object = keyset.segment_opener(sealed, b"identity", commitment)?;
    let map = object.map(sealed.len() as u64)?;
    let cover = if map.plaintext_len() == 0 { map.cover_last() } else { map.cover(0..map.plaintext_len())? };
    if rng.bool() {
        return object.open_cover(&cover, Bytes::copy_from_slice(sealed));
    }
    let mut run = object.run(&cover);
    let mut out = BytesMut::new();
    let mut data = Bytes::copy_from_slice(sealed);
    while let Some(part) = run.push(&mut data)? {
        out.extend_from_slice(&part);
    }
    run.finish()?;
    Ok(out.freeze())
}

/// Damages `sealed` in one of the ways a store, a network or an enemy can.
fn damage(sealed: &mut Vec<u8>, other: &[u8], rng: &mut Rng) -> &'static str {
    let count = sealed.len().div_ceil(SEGMENT);
    let segment = |index: usize, len: usize| index * SEGMENT..((index + 1) * SEGMENT).min(len);
    match rng.u8(0..10) {
        0..3 => {
            let at = rng.usize(..sealed.len());
            sealed[at] ^= 1 << rng.u8(0..8);
            "flip"
        }
        3 => {
            sealed.truncate(rng.usize(..sealed.len()));
            "truncate"
        }
        4 => {
            sealed.truncate(rng.usize(..count) * SEGMENT);
            "truncate at a segment boundary"
        }
        5 => {
            let extra = rng.usize(1..2 * SEGMENT);
            sealed.extend(std::iter::repeat_with(|| rng.u8(..)).take(extra));
            "extend"
        }
        6 => {
            let (a, b) = (rng.usize(..count), rng.usize(..count));
            let (one, two) =
                (sealed[segment(a, sealed.len())].to_vec(), sealed[segment(b, sealed.len())].to_vec());
            let mut parts: Vec<Vec<u8>> = sealed.chunks(SEGMENT).map(<[u8]>::to_vec).collect();
            parts[a] = two;
            parts[b] = one;
            *sealed = parts.concat();
            "reorder"
        }
        7 => {
            let index = rng.usize(..count.min(other.len().div_ceil(SEGMENT)));
            let mut parts: Vec<Vec<u8>> = sealed.chunks(SEGMENT).map(<[u8]>::to_vec).collect();
            parts[index] = other[segment(index, other.len())].to_vec();
            *sealed = parts.concat();
            "splice a segment"
        }
        8 => {
            let index = rng.usize(..count);
            let copy = sealed[segment(index, sealed.len())].to_vec();
            let at = rng.usize(..=count) * SEGMENT;
            let at = at.min(sealed.len());
            sealed.splice(at..at, copy);
            "repeat a segment"
        }
        _ => {
            let index = rng.usize(..count);
            drop(sealed.drain(segment(index, sealed.len())));
            "drop a segment"
        }
    }
}

#[test]
fn a_hundred_thousand_mutations_are_detected() {
    let seed = 0xAE75_EA1E;
    let mut rng = Rng::with_seed(seed);
    let keyset = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
    let objects: Vec<Object> =
        [0, 1, 968, 969, 1976, 5000, 9999].map(|len| object(&keyset, &mut rng, len)).into();
    let mut done = 0;
    while done < MUTATIONS {
        let victim = &objects[rng.usize(..objects.len())];
        let other = &objects[rng.usize(..objects.len())];
        let mut sealed = victim.sealed.clone();
        let how = damage(&mut sealed, &other.sealed, &mut rng);
        // An object spliced with itself, or into a whole other one that is committed to nothing, is no damage.
        if sealed == victim.sealed || objects.iter().any(|object| object.sealed == sealed) {
            continue;
        }
        done += 1;
        let what = || format!("seed {seed:#x}, mutation {done}: {how} of {} bytes", victim.sealed.len());
        let error = match rng.u8(0..4) {
            0 => keyset.open(b"identity", Some(&victim.commitment), sealed.into()).err(),
            1 => ranged(&keyset, &victim.commitment, &sealed, &mut rng).err(),
            way => {
                let commitment = (way == 2).then_some(&victim.commitment);
                let (out, end) = stream(&keyset, b"identity", commitment, &sealed, &mut rng);
                assert!(
                    objects.iter().any(|object| object.plain.starts_with(&out)),
                    "{}: handed out what nobody sealed there",
                    what()
                );
                end.err()
            }
        };
        let error = error.unwrap_or_else(|| panic!("{}: not detected", what()));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{}: {error}", what());
    }
}

#[test]
fn wrong_context_is_detected() {
    let mut rng = Rng::with_seed(7);
    let size = SegmentSize::new(SEGMENT as u32).unwrap();
    let keyset = Keyset::generate(size).unwrap();
    let stranger = Keyset::generate(size).unwrap();
    for len in [0, 1, 5000] {
        let mine = object(&keyset, &mut rng, len);
        let other = object(&keyset, &mut rng, len);
        let sealed = || Bytes::from(mine.sealed.clone());

        for (aad, commitment) in [
            (&b"identitx"[..], Some(&mine.commitment)),
            (b"identitx", None),
            (b"", None),
            // A whole other object is genuine, but not the one that was committed to.
            (b"identity", Some(&other.commitment)),
        ] {
            let error = keyset.open(aad, commitment, sealed()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let (out, end) = stream(&keyset, aad, commitment, &mine.sealed, &mut rng);
            assert!(out.is_empty() && end.unwrap_err().kind() == ErrorKind::Corrupt);
        }

        assert_eq!(stranger.open(b"identity", None, sealed()).unwrap_err().kind(), ErrorKind::Corrupt);
        let denied = stranger.open(b"identity", Some(&mine.commitment), sealed()).unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::Denied, "{denied}");
        assert!(denied.to_string().contains(&mine.commitment.key_id().to_string()));
    }
}

#[test]
fn errors_do_not_tell_where() {
    let mut rng = Rng::with_seed(9);
    let keyset = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
    let object = object(&keyset, &mut rng, 5000);
    let messages: std::collections::HashSet<String> = (1..object.sealed.len())
        .map(|at| {
            let mut sealed = object.sealed.clone();
            sealed[at] ^= 0x10;
            keyset.open(b"identity", Some(&object.commitment), sealed.into()).unwrap_err().to_string()
        })
        .collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
}

#[test]
fn an_opener_that_is_kept_refuses_a_header_that_changed() {
    let mut rng = Rng::with_seed(10);
    let keyset = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
    let object = object(&keyset, &mut rng, 3000);
    let opener = keyset.segment_opener(&object.sealed, b"identity", &object.commitment).unwrap();
    let map = opener.map(object.sealed.len() as u64).unwrap();
    for at in 0..40 {
        let mut sealed = object.sealed.clone();
        sealed[at] ^= 1;
        let sealed = Bytes::from(sealed);
        for end in [10, 3000] {
            let cover = map.cover(0..end).unwrap();
            let ciphertext = sealed.slice(..cover.ciphertext().end as usize);
            assert_eq!(opener.open_cover(&cover, ciphertext.clone()).unwrap_err().kind(), ErrorKind::Corrupt);
            assert!(opener.run(&cover).push(&mut ciphertext.clone()).is_err());
        }
    }
    for (index, last) in [(0, true), (1, false), (u32::MAX, false)] {
        let first = Bytes::from(object.sealed[..SEGMENT].to_vec());
        assert_eq!(opener.open_segment(index, last, first).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    for len in [0, 1, 15, 39, 40, 55, 56, SEGMENT + 1] {
        let bytes = Bytes::from(vec![40; len]);
        assert!(opener.open_segment(0, false, bytes.clone()).is_err(), "{len} bytes");
        assert!(opener.open_segment(1, false, bytes).is_err(), "{len} bytes");
    }
}

#[test]
fn damaged_stamps_are_refused() {
    let mut rng = Rng::with_seed(11);
    let keyset = Keyset::generate(SegmentSize::default()).unwrap();
    let object = object(&keyset, &mut rng, 10);
    let text = object.commitment.to_string();
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(commitment) = String::from_utf8(bytes).unwrap().parse::<Commitment>() else { continue };
            // Another key number is no damage to the MAC: the right key is found all the same.
            if commitment.key_id() == object.commitment.key_id() {
                let sealed = Bytes::from(object.sealed.clone());
                assert!(keyset.open(b"identity", Some(&commitment), sealed).is_err(), "bit {bit} at {at}");
            }
        }
    }
    for text in ["", "1", "1.2", "1.2.", "2.2.AAAA", "1.-2.AAAA", "1.+2.AAAA", "1.99999999999.AAAA"] {
        assert_eq!(text.parse::<Commitment>().unwrap_err().kind(), ErrorKind::Corrupt, "{text:?}");
    }
}

#[test]
fn a_run_that_ends_early_or_late_is_refused() {
    let mut rng = Rng::with_seed(12);
    let keyset = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
    let object = object(&keyset, &mut rng, 3000);
    let opener = keyset.segment_opener(&object.sealed, b"identity", &object.commitment).unwrap();
    let map = opener.map(object.sealed.len() as u64).unwrap();
    let sealed = Bytes::from(object.sealed.clone());
    for cover in [map.cover(10..20).unwrap(), map.cover(10..2000).unwrap(), map.cover(0..3000).unwrap()] {
        let fetch = cover.ciphertext().start as usize..cover.ciphertext().end as usize;
        for len in [0, 1, SEGMENT, fetch.len() - 1] {
            if len == fetch.len() {
                continue;
            }
            let mut run = opener.run(&cover);
            let mut data = sealed.slice(fetch.start..fetch.start + len);
            while run.push(&mut data).unwrap().is_some() {}
            assert_eq!(run.finish().unwrap_err().kind(), ErrorKind::Corrupt, "{len} bytes of {fetch:?}");
            let short = sealed.slice(fetch.start..fetch.start + len);
            assert_eq!(opener.open_cover(&cover, short).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let mut run = opener.run(&cover);
        let mut data = sealed.slice(fetch.clone());
        while run.push(&mut data).unwrap().is_some() {}
        assert_eq!(run.push(&mut Bytes::from_static(b"x")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(run.finish().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let nothing = map.cover(5..5).unwrap();
    assert!(opener.open_cover(&nothing, Bytes::new()).unwrap().is_empty());
    opener.run(&nothing).finish().unwrap();
}
