//! Sealed bytes under mutation: an oracle knows which segments a mutation spoils, and every read is held against it.

#[path = "../support/mod.rs"]
mod support;

use super::{path, unlike};
use aeth_core::blob::{Attributes, BlobStore, BlobStoreExt, Capability, PutOptions};
use aeth_core::seal::{HEADER_LEN, Keyset, SegmentSize, TAG_LEN};
use aeth_core::{BlobPath, Body, ErrorKind, Secret};
use aeth_files::{Encrypted, MemoryStore};
use bytes::Bytes;
use fastrand::Rng;
use std::ops::Range;
use support::Without;

const SEGMENT: usize = 1024;
/// What is done to each pair of objects.
const MUTATIONS: usize = 100;

/// A sealed object as the store below has it.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    bytes: Bytes,
    attributes: Attributes,
}

async fn take(below: &MemoryStore, at: &BlobPath) -> Stored {
    let blob = below.get(at).await.unwrap();
    let attributes = blob.meta.attributes.clone().unwrap();
    Stored { bytes: blob.bytes().await.unwrap(), attributes }
}

async fn place(below: &MemoryStore, at: &BlobPath, stored: &Stored) {
    let options = PutOptions::default().with_attributes(stored.attributes.clone());
    below.put_opts(at, Body::Bytes(stored.bytes.clone()), options).await.unwrap();
}

/// Cuts what is sealed in segments.
fn segments(sealed: &[u8]) -> Vec<Vec<u8>> {
    sealed.chunks(SEGMENT).map(<[u8]>::to_vec).collect()
}

/// One mutation of `genuine`, by its name. It may be none, when chance puts back what was there.
fn mutate(genuine: &Stored, foreign: &Stored, rng: &mut Rng) -> (&'static str, Stored) {
    let mut bytes = genuine.bytes.to_vec();
    let mut parts = segments(&bytes);
    let any = |rng: &mut Rng, parts: &[Vec<u8>]| rng.usize(..parts.len());
    let mut attributes = genuine.attributes.clone();
    let name = match rng.u32(..13) {
        0 => {
            bytes[rng.usize(..genuine.bytes.len())] ^= 1 << rng.u32(..8);
            return ("flip", Stored { bytes: bytes.into(), attributes });
        }
        1 => {
            bytes.truncate(rng.usize(..genuine.bytes.len()));
            return ("truncate", Stored { bytes: bytes.into(), attributes });
        }
        2 => {
            bytes.extend(std::iter::repeat_n(rng.u8(..), rng.usize(1..2 * SEGMENT)));
            return ("extend", Stored { bytes: bytes.into(), attributes });
        }
        3 => {
            parts.truncate(any(rng, &parts));
            "truncate at a segment"
        }
        4 => {
            let (a, b) = (any(rng, &parts), any(rng, &parts));
            parts.swap(a, b);
            "reorder"
        }
        5 => {
            let (from, to) = (any(rng, &parts), any(rng, &parts));
            parts[to] = parts[from].clone();
            "repeat a segment"
        }
        6 => {
            let gone = any(rng, &parts);
            drop(parts.remove(gone));
            "remove a segment"
        }
        7 => {
            let theirs = segments(&foreign.bytes);
            let (from, to) = (any(rng, &theirs), any(rng, &parts));
            parts[to] = theirs[from].clone();
            "splice a segment"
        }
        8 => {
            let cut = any(rng, &parts);
            parts.truncate(cut);
            parts.extend(segments(&foreign.bytes).into_iter().skip(cut));
            "splice a tail"
        }
        9 => {
            parts = segments(&foreign.bytes);
            "swap the bytes of objects"
        }
        10 => {
            parts = segments(&foreign.bytes);
            attributes = foreign.attributes.clone();
            "swap objects"
        }
        11 => {
            // The identity of one object and the rest of another.
            if let Some(key) = attributes.user.keys().nth(rng.usize(..3)).cloned() {
                attributes.user.insert(key.clone(), foreign.attributes.user[&key].clone());
            }
            "swap an attribute"
        }
        _ => {
            if let Some(key) = attributes.user.keys().nth(rng.usize(..3)).cloned() {
                let mut text: Vec<u8> = attributes.user[&key].bytes().collect();
                let at = rng.usize(..text.len());
                text[at] = rng.alphanumeric() as u8;
                attributes.user.insert(key, String::from_utf8(text).unwrap());
            }
            "change an attribute"
        }
    };
    (name, Stored { bytes: parts.concat().into(), attributes })
}

/// The attributes without the numbers of keys: those only say which key to try first.
fn authenticated(attributes: &Attributes) -> Vec<(String, String)> {
    let without_number = |text: &String| match text.splitn(3, '.').collect::<Vec<_>>().as_slice() {
        [version, number, mac] if number.parse::<u32>().is_ok() => format!("{version}.{mac}"),
        _ => text.clone(),
    };
    attributes.user.iter().map(|(key, text)| (key.clone(), without_number(text))).collect()
}

/// Which segments hold other bytes than they should; all of them when what is needed to open any is wrong.
fn spoiled(genuine: &Stored, mutant: &Stored) -> Vec<usize> {
    let (was, is) = (segments(&genuine.bytes), segments(&mutant.bytes));
    let header = |parts: &[Vec<u8>]| parts.first().map(|first| first[..first.len().min(HEADER_LEN)].to_vec());
    if genuine.attributes != mutant.attributes
        || genuine.bytes.len() != mutant.bytes.len()
        || header(&was) != header(&is)
    {
        return (0..was.len()).collect();
    }
    (0..was.len()).filter(|at| was[*at] != is[*at]).collect()
}

/// The segments of a range of plaintext.
fn covered(range: &Range<u64>) -> Range<usize> {
    let size = SEGMENT - TAG_LEN;
    let of = |at: u64| (at as usize + HEADER_LEN) / size;
    of(range.start)..of(range.end - 1) + 1
}

/// A keyset whose key has the number of another's, and is another one.
fn impostor(keyset: &Keyset) -> Keyset {
    let stranger = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
    let json = stranger.to_tink_json();
    let json = std::str::from_utf8(json.expose()).unwrap();
    let renamed = json.replace(&stranger.primary_id().to_string(), &keyset.primary_id().to_string());
    Keyset::from_tink_json(&Secret::new(renamed)).unwrap()
}

fn open(below: &MemoryStore, keyset: Keyset, attributes: bool) -> Encrypted {
    if attributes {
        return Encrypted::new(below.clone(), keyset);
    }
    let lacking = [Capability::Attributes, Capability::CopyReplace];
    Encrypted::new(Without::new(below.clone(), &lacking), keyset)
}

/// Flips, cuts, extensions, reorderings, splices, swaps, and wrong keys: a full read detects each of them, a ranged
/// read wherever it opens, and elsewhere gives the genuine bytes.
#[tokio::test]
async fn torture_mutations_of_sealed_bytes_are_detected() {
    let (mut full, mut ranged, mut genuine_ranges) = (0_u64, 0_u64, 0_u64);
    for case in testkit::campaign("sealed-mutations", 60) {
        let mut rng = case.rng();
        let attributes = case.seed() % 4 != 0;
        let below = MemoryStore::new();
        let keyset = Keyset::generate(SegmentSize::new(SEGMENT as u32).unwrap()).unwrap();
        let store = open(&below, keyset.clone(), attributes);
        let (blob, other) = (path("a"), path("b"));
        let bytes = unlike(rng.usize(0..8 * SEGMENT), case.seed());
        store.put(&blob, bytes.clone()).await.unwrap();
        store.put(&other, unlike(rng.usize(0..8 * SEGMENT), case.seed() + 1)).await.unwrap();
        let (genuine, foreign) = (take(&below, &blob).await, take(&below, &other).await);
        for wrong in [impostor(&keyset), Keyset::generate(SegmentSize::new(2048).unwrap()).unwrap()] {
            let error = open(&below, wrong, attributes).get_bytes(&blob).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Denied), "wrong key: {error}");
            full += 1;
        }
        for _ in 0..MUTATIONS {
            let (name, mutant) = mutate(&genuine, &foreign, &mut rng);
            let bad = spoiled(&genuine, &mutant);
            if bad.is_empty() || (!attributes && genuine.bytes == mutant.bytes) {
                continue;
            }
            place(&below, &blob, &mutant).await;
            if genuine.bytes == mutant.bytes
                && authenticated(&genuine.attributes) == authenticated(&mutant.attributes)
            {
                match store.get_bytes(&blob).await {
                    Ok(read) => assert_eq!(read, bytes, "{name}"),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Denied, "{name}: {error}"),
                }
                continue;
            }
            let Err(error) = store.get_bytes(&blob).await else {
                panic!("{name} was not detected by a full read");
            };
            // A changed number of a key names one that is not here.
            let refused = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Denied);
            assert!(refused, "{name}: {error}");
            full += 1;
            if bytes.is_empty() {
                continue;
            }
            // A fresh handle proves the length by the last segment before it gives anything.
            let fresh = open(&below, keyset.clone(), attributes);
            let last = genuine.bytes.len().div_ceil(SEGMENT) - 1;
            // Without a commitment the first segment tells the key.
            let first = (!attributes).then_some(0);
            for _ in 0..2 {
                let start = rng.u64(..bytes.len() as u64);
                let range = start..rng.u64(start..bytes.len() as u64) + 1;
                let mut opened: Vec<usize> = covered(&range).chain([last]).collect();
                opened.extend(first);
                let must_fail = opened.iter().any(|at| bad.contains(at));
                match fresh.get_range(&blob, range.clone()).await {
                    Ok(_) if must_fail => panic!("{name} was not detected by a read of {range:?}"),
                    Ok(read) => {
                        assert_eq!(read, bytes[range.start as usize..range.end as usize], "{name}");
                        genuine_ranges += 1;
                    }
                    Err(error) => {
                        let refused = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Denied);
                        assert!(must_fail && refused, "{name}, {range:?}: {error}");
                        ranged += 1;
                    }
                }
            }
        }
    }
    println!(
        "sealed mutations: {full} detected by full reads, {ranged} by ranged reads that opened them; \
         {genuine_ranges} ranged reads beside them gave the genuine bytes"
    );
    assert!(full > 0 && ranged > 0 && genuine_ranges > 0);
}
