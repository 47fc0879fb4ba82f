//! Fixed vectors, made by Tink and by Python's standard library: what was sealed once must open for ever.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use aeth_core::Secret;
use aeth_core::seal::{Keyset, PassphraseKdf, SegmentMap, SegmentSize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../seal_vectors.json")).unwrap()
}

fn keyset(vectors: &Value) -> Keyset {
    Keyset::from_tink_json(&Secret::new(vectors["keyset"].to_string())).unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31 + 7) % 251) as u8).collect()
}

#[test]
fn ciphertexts_of_tink_open_with_and_without_commitment() {
    let vectors = vectors();
    let keyset = keyset(&vectors);
    assert_eq!(keyset.segment_size().get(), 1024);
    for case in vectors["cases"].as_array().unwrap() {
        let len = case["len"].as_u64().unwrap();
        let sealed = Bytes::from(STANDARD.decode(case["ciphertext"].as_str().unwrap()).unwrap());
        let map = SegmentMap::of_plaintext(keyset.segment_size(), len).unwrap();
        assert_eq!(map.ciphertext_len(), sealed.len() as u64, "length of the ciphertext of {len} bytes");

        let expected = pattern(len as usize);
        assert_eq!(keyset.open(b"vector", None, sealed.clone()).unwrap(), expected);
        let commitment = case["commitment"].as_str().unwrap().parse().unwrap();
        assert_eq!(keyset.open(b"vector", Some(&commitment), sealed).unwrap(), expected);
    }
}

#[test]
fn binding_is_the_documented_mac() {
    let vectors = vectors();
    let keyset = keyset(&vectors);
    let binding = keyset.bind(&[b"object-id", b"a/path"]);
    assert_eq!(binding.to_string(), vectors["binding"].as_str().unwrap());
}

#[test]
fn derived_keysets_are_stable() {
    let vectors = vectors();
    let secret = Secret::new("0123456789abcdef0123456789abcdef");
    let passphrase = Secret::new("correct horse");
    let kdf = PassphraseKdf::from_parts((0..16).collect::<Vec<u8>>(), 1000).unwrap();
    let small = SegmentSize::new(4096).unwrap();
    for (name, keyset) in [
        ("from_secret", Keyset::derive_from_secret(&secret, b"files", SegmentSize::default()).unwrap()),
        ("from_passphrase", Keyset::derive_from_passphrase(&passphrase, &kdf, b"files", small).unwrap()),
    ] {
        let json: Value = serde_json::from_slice(keyset.to_tink_json().expose()).unwrap();
        assert_eq!(json["primaryKeyId"], vectors[name]["id"], "{name}");
        assert_eq!(json["key"][0]["keyData"]["value"], vectors[name]["value"], "{name}");
    }
}

#[test]
fn sealed_keyset_of_the_first_version_opens() {
    let vectors = vectors();
    let sealed = vectors["sealed_keyset"].to_string();
    let opened = Keyset::from_sealed_json(sealed.as_bytes(), &Secret::new("correct horse")).unwrap();
    assert_eq!(opened.to_tink_json(), keyset(&vectors).to_tink_json());
}
