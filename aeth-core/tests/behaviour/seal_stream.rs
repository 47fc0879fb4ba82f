//! Streaming, ranged and whole sealing agree at every size and cut.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use aeth_core::ErrorKind;
use aeth_core::seal::{Commitment, HEADER_LEN, Keyset, SegmentMap, SegmentSize, TAG_LEN};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use std::sync::OnceLock;

const SEGMENT: usize = 1024;

fn keyset() -> &'static Keyset {
    static KEYSET: OnceLock<Keyset> = OnceLock::new();
    KEYSET.get_or_init(|| Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap())
}

fn plaintext(len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(len as u64).fill(&mut bytes);
    bytes.into()
}

/// Cuts `data` into pieces of the given sizes, again and again.
fn pieces<'a>(mut data: Bytes, sizes: &'a [usize]) -> impl Iterator<Item = Bytes> + 'a {
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        (!data.is_empty()).then(|| data.split_to(data.len().min(*sizes.next().unwrap())))
    })
}

fn seal(data: Bytes, cuts: &[usize]) -> (Vec<Bytes>, Commitment) {
    let mut sealer = keyset().sealer(b"aad").unwrap();
    let commitment = sealer.commitment().clone();
    let mut segments = Vec::new();
    for mut piece in pieces(data, cuts) {
        while let Some(segment) = sealer.push(&mut piece).unwrap() {
            segments.push(segment);
        }
        assert!(piece.is_empty());
    }
    segments.push(sealer.finish().unwrap());
    (segments, commitment)
}

fn open(sealed: Bytes, cuts: &[usize], commitment: Option<&Commitment>) -> Bytes {
    let mut opener = keyset().opener(b"aad", commitment);
    let mut out = BytesMut::new();
    for mut piece in pieces(sealed, cuts) {
        while let Some(part) = opener.push(&mut piece).unwrap() {
            out.extend_from_slice(&part);
        }
        assert!(piece.is_empty());
    }
    out.extend_from_slice(&opener.finish().unwrap());
    out.freeze()
}

fn check(len: usize, seal_cuts: &[usize], open_cuts: &[usize]) {
    let data = plaintext(len);
    let (segments, commitment) = seal(data.clone(), seal_cuts);
    let map = SegmentMap::of_plaintext(keyset().segment_size(), len as u64).unwrap();
    assert_eq!(segments.len(), map.segment_count() as usize, "segments of {len} bytes");
    let (last, full) = segments.split_last().unwrap();
    assert!(full.iter().all(|segment| segment.len() == SEGMENT));
    assert!(last.len() <= SEGMENT);
    let sealed = Bytes::from(segments.concat());
    assert_eq!(sealed.len() as u64, map.ciphertext_len());
    assert_eq!(SegmentMap::of_ciphertext(keyset().segment_size(), sealed.len() as u64).unwrap(), map);

    assert_eq!(open(sealed.clone(), open_cuts, Some(&commitment)), data);
    assert_eq!(open(sealed.clone(), open_cuts, None), data);
    assert_eq!(keyset().open(b"aad", Some(&commitment), sealed.clone()).unwrap(), data);
    assert_eq!(keyset().open(b"aad", None, sealed).unwrap(), data);

    let (sealed, commitment) = keyset().seal(b"aad", &data).unwrap();
    assert_eq!(sealed.len() as u64, map.ciphertext_len());
    assert_eq!(open(sealed, open_cuts, Some(&commitment)), data);
}

#[test]
fn every_size_around_segment_boundaries() {
    let first = SEGMENT - HEADER_LEN - TAG_LEN;
    let other = SEGMENT - TAG_LEN;
    for boundary in [0, first, first + other, first + 2 * other, first + 7 * other] {
        for len in boundary.saturating_sub(2)..=boundary + 2 {
            for cuts in [&[usize::MAX][..], &[1], &[SEGMENT], &[SEGMENT - 1, 1], &[SEGMENT + 1], &[3000, 7]] {
                check(len, cuts, cuts);
            }
        }
    }
}

#[test]
fn every_range_of_small_objects() {
    for len in [0, 1, 967, 968, 969, 1977] {
        let data = plaintext(len);
        let (sealed, commitment) = keyset().seal(b"aad", &data).unwrap();
        let object = keyset().segment_opener(&sealed, b"aad", &commitment).unwrap();
        let map = object.map(sealed.len() as u64).unwrap();
        let edges: Vec<usize> = [0, 1, 500, 966, 967, 968, 969, 1975, 1976, 1977]
            .into_iter()
            .filter(|edge| *edge <= len)
            .collect();
        for (i, start) in edges.iter().enumerate() {
            for end in &edges[i..] {
                let cover = map.cover(*start as u64..*end as u64).unwrap();
                let fetch = cover.ciphertext();
                let ciphertext = sealed.slice(fetch.start as usize..fetch.end as usize);
                assert_eq!(object.open_cover(&cover, ciphertext).unwrap(), data.slice(start..end));
            }
        }
        let last = map.cover_last();
        let fetch = last.ciphertext();
        let tail = object.open_cover(&last, sealed.slice(fetch.start as usize..fetch.end as usize)).unwrap();
        assert!(data.ends_with(&tail) && last.ends());
    }
}

#[test]
fn a_ranged_read_fetches_only_the_segments_it_touches() {
    let map = SegmentMap::of_plaintext(SegmentSize::default(), 10 << 20).unwrap();
    let cover = map.cover(1 << 20..(1 << 20) + 4096).unwrap();
    assert_eq!(cover.segments().len(), 1);
    assert_eq!(cover.ciphertext().end - cover.ciphertext().start, 65_536);
    assert!(!cover.ends());
    assert_eq!(map.cover(0..0).unwrap().ciphertext(), 0..0);
    for (start, end) in [(0, (10 << 20) + 1), (2, 1)] {
        assert_eq!(map.cover(start..end).unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[test]
fn lengths_that_no_sealed_object_has_are_refused() {
    let size = SegmentSize::new(SEGMENT as u32).unwrap();
    for len in [0, 1, 40, 55, 1025, 1040, 2049, 2064, u64::MAX] {
        assert_eq!(SegmentMap::of_ciphertext(size, len).unwrap_err().kind(), ErrorKind::Corrupt, "{len}");
    }
    for len in [56, 57, 1024, 1041, 2048, 2065] {
        assert_eq!(SegmentMap::of_ciphertext(size, len).unwrap().ciphertext_len(), len);
    }
    let most = 984 - HEADER_LEN as u64 + 24 + u64::from(u32::MAX - 1) * 1008;
    assert_eq!(SegmentMap::of_plaintext(size, most).unwrap().segment_count(), u32::MAX);
    assert_eq!(SegmentMap::of_plaintext(size, most + 1).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(SegmentMap::of_plaintext(size, u64::MAX).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_segment_that_nobody_else_holds_is_opened_where_it_lies() {
    let data = plaintext(3000);
    let (sealed, commitment) = keyset().seal(b"aad", &data).unwrap();
    let object = keyset().segment_opener(&sealed, b"aad", &commitment).unwrap();
    let own = Bytes::from(sealed[SEGMENT..2 * SEGMENT].to_vec());
    let place = own.as_ptr();
    let opened = object.open_segment(1, false, own).unwrap();
    assert_eq!(opened, data.slice(968..968 + 1008));
    assert_eq!(opened.as_ptr(), place);
    let shared = object.open_segment(1, false, sealed.slice(SEGMENT..2 * SEGMENT)).unwrap();
    assert_eq!(shared, opened);
}

#[test]
fn fresh_headers_for_the_same_content() {
    let (one, _) = keyset().seal(b"", b"same").unwrap();
    let (two, _) = keyset().seal(b"", b"same").unwrap();
    assert_ne!(one[1..33], two[1..33], "salt");
    assert_ne!(one[40..], two[40..], "ciphertext");
}

proptest! {
    #[test]
    fn any_cut_and_size(
        len in 0usize..20_000,
        seal_cuts in proptest::collection::vec(1usize..5000, 1..6),
        open_cuts in proptest::collection::vec(1usize..5000, 1..6),
    ) {
        check(len, &seal_cuts, &open_cuts);
    }

    #[test]
    fn ranged_equals_whole(
        len in 1usize..20_000,
        a in 0.0f64..=1.0,
        b in 0.0f64..=1.0,
        cuts in proptest::collection::vec(1usize..5000, 1..6),
    ) {
        let data = plaintext(len);
        let (sealed, commitment) = keyset().seal(b"aad", &data).unwrap();
        let object = keyset().segment_opener(&sealed[..HEADER_LEN], b"aad", &commitment).unwrap();
        let (start, end) = ((a.min(b) * len as f64) as usize, (a.max(b) * len as f64) as usize);
        let cover = object.map(sealed.len() as u64).unwrap().cover(start as u64..end as u64).unwrap();
        let fetch = cover.ciphertext();
        let ciphertext = sealed.slice(fetch.start as usize..fetch.end as usize);
        prop_assert_eq!(object.open_cover(&cover, ciphertext.clone()).unwrap(), data.slice(start..end));

        let mut run = object.run(&cover);
        let mut out = BytesMut::new();
        for mut piece in pieces(ciphertext, &cuts) {
            while let Some(part) = run.push(&mut piece).unwrap() {
                prop_assert!(!part.is_empty());
                out.extend_from_slice(&part);
            }
        }
        run.finish().unwrap();
        prop_assert_eq!(out.freeze(), data.slice(start..end));
    }
}
