//! The life of keys: rotation, storage, passphrases, files.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use aeth_core::seal::{KeyStatus, Keyset, PassphraseKdf, SegmentSize};
use aeth_core::{ErrorKind, Secret};
use bytes::Bytes;

fn size(bytes: u32) -> SegmentSize {
    SegmentSize::new(bytes).unwrap()
}

fn fast() -> PassphraseKdf {
    PassphraseKdf::new().unwrap().with_iterations(10).unwrap()
}

#[test]
fn rotation_keeps_old_objects_readable() {
    let mut keyset = Keyset::generate(size(4096)).unwrap();
    let first = keyset.primary_id();
    let (old, old_commitment) = keyset.seal(b"", &[1; 10_000]).unwrap();
    let before = keyset.bind(&[b"id", b"path"]);

    // Keys with smaller and larger segments than the object's stand beside it in each trial.
    let large = keyset.add_key(size(1 << 20)).unwrap();
    let small = keyset.add_key(size(1024)).unwrap();
    keyset.promote(large).unwrap();
    assert_eq!((keyset.primary_id(), keyset.segment_size()), (large, size(1 << 20)));
    let (new, new_commitment) = keyset.seal(b"", &[2; 3_000_000]).unwrap();
    keyset.promote(small).unwrap();
    let (tiny, tiny_commitment) = keyset.seal(b"", &[3; 5000]).unwrap();
    assert_eq!((old_commitment.key_id(), new_commitment.key_id()), (first, large));

    for (sealed, commitment, byte, len) in [
        (&old, &old_commitment, 1, 10_000),
        (&new, &new_commitment, 2, 3_000_000),
        (&tiny, &tiny_commitment, 3, 5000),
    ] {
        for commitment in [Some(commitment), None] {
            let mut opener = keyset.opener(b"", commitment);
            let (mut data, mut out) = (sealed.clone(), Vec::new());
            while let Some(part) = opener.push(&mut data).unwrap() {
                out.extend_from_slice(&part);
            }
            out.extend_from_slice(&opener.finish().unwrap());
            assert_eq!(out, vec![byte; len]);
            assert_eq!(keyset.open(b"", commitment, sealed.clone()).unwrap(), vec![byte; len]);
        }
    }

    keyset.disable(first).unwrap();
    assert_eq!(keyset.open(b"", Some(&old_commitment), old.clone()).unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(keyset.open(b"", None, old.clone()).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(keyset.verify_binding(&before, &[b"id", b"path"]).unwrap_err().kind(), ErrorKind::Denied);
    keyset.enable(first).unwrap();
    keyset.verify_binding(&before, &[b"id", b"path"]).unwrap();
    assert!(keyset.open(b"", Some(&old_commitment), old.clone()).is_ok());
    keyset.remove(first).unwrap();
    assert_eq!(keyset.open(b"", Some(&old_commitment), old).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn the_primary_cannot_be_taken_away() {
    let mut keyset = Keyset::generate(size(4096)).unwrap();
    let id = keyset.primary_id();
    assert_eq!(keyset.disable(id).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(keyset.remove(id).unwrap_err().kind(), ErrorKind::Invalid);
    let next = keyset.rotate().unwrap();
    keyset.disable(id).unwrap();
    assert_eq!(keyset.promote(id).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(keyset.promote(id ^ next ^ 1).unwrap_err().kind(), ErrorKind::NotFound);
    let states: Vec<_> = keyset.keys().map(|key| (key.id, key.status, key.primary)).collect();
    assert_eq!(states, [(id, KeyStatus::Disabled, false), (next, KeyStatus::Enabled, true)]);
}

#[test]
fn bindings_hold_for_these_parts_only() {
    let keyset = Keyset::generate(size(4096)).unwrap();
    let binding = keyset.bind(&[b"ab", b"c"]);
    keyset.verify_binding(&binding.to_string().parse().unwrap(), &[b"ab", b"c"]).unwrap();
    for parts in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"c", b""], &[b"ab", b"d"], &[]] {
        assert_eq!(keyset.verify_binding(&binding, parts).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let stranger = Keyset::generate(size(4096)).unwrap();
    assert_eq!(stranger.verify_binding(&binding, &[b"ab", b"c"]).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn tink_json_round_trips() {
    let mut keyset = Keyset::generate(size(4096)).unwrap();
    let old = keyset.primary_id();
    keyset.rotate().unwrap();
    keyset.add_key(SegmentSize::MAX).unwrap();
    keyset.disable(old).unwrap();
    let json = keyset.to_tink_json();
    let back = Keyset::from_tink_json(&json).unwrap();
    assert!(back.keys().eq(keyset.keys()));
    assert_eq!(back.to_tink_json(), json);
    let (sealed, commitment) = keyset.seal(b"x", b"data").unwrap();
    assert_eq!(back.open(b"x", Some(&commitment), sealed).unwrap(), &b"data"[..]);
}

/// The text of a keyset of one key, after replacing `from` by `to`.
fn edited(from: &str, to: &str) -> Secret {
    let keyset = Keyset::derive_from_secret(&Secret::new([7; 32]), b"", SegmentSize::default()).unwrap();
    let json = keyset.to_tink_json();
    let text = json.expose_str().unwrap();
    assert!(text.contains(from), "{from}");
    Secret::new(text.replace(from, to))
}

#[test]
fn other_spellings_of_protobuf_json_are_read() {
    let id = edited("RAW", "RAW").expose_str().unwrap().split([':', ',']).nth(1).unwrap().to_owned();
    for (from, to) in [
        (id.as_str(), &*format!("\"{id}\"")),
        ("\"ENABLED\"", "1"),
        ("\"RAW\"", "3"),
        ("primaryKeyId", "primary_key_id"),
        ("outputPrefixType", "output_prefix_type"),
        ("==", "\\u003d\\u003d"),
        ("==", ""),
    ] {
        if from == "==" && !edited("RAW", "RAW").expose_str().unwrap().contains("==") {
            continue;
        }
        Keyset::from_tink_json(&edited(from, to)).unwrap_or_else(|error| panic!("{from} -> {to}: {error}"));
    }
}

#[test]
fn malformed_keysets_are_invalid_and_say_no_secret() {
    let text = edited("RAW", "RAW");
    let text = text.expose_str().unwrap();
    let value = text.split("\"value\":\"").nth(1).unwrap().split('"').next().unwrap();
    for (from, to, kind) in [
        ("\"ENABLED\"", "\"DISABLED\"", ErrorKind::Invalid),
        ("\"ENABLED\"", "\"DESTROYED\"", ErrorKind::Invalid),
        ("\"ENABLED\"", "\"ON\"", ErrorKind::Invalid),
        ("\"ENABLED\"", "9", ErrorKind::Invalid),
        ("\"RAW\"", "\"TINK\"", ErrorKind::Invalid),
        ("primaryKeyId\":", "primaryKeyId\":1", ErrorKind::Invalid),
        (".AesGcmHkdfStreamingKey", ".AesCtrHmacStreamingKey", ErrorKind::Unsupported),
        (value, "!!!!", ErrorKind::Invalid),
        (value, "", ErrorKind::Invalid),
        (value, &value[..40], ErrorKind::Invalid),
        // Tink's AES128_GCM_HKDF_4KB.
        (value, "EgcIgCAQEBgDGhABAgMEBQYHCAkKCwwNDg8Q", ErrorKind::Unsupported),
        ("\"key\":[", "\"key\":[[", ErrorKind::Invalid),
        ("]}", "]", ErrorKind::Invalid),
    ] {
        let error = Keyset::from_tink_json(&edited(from, to)).unwrap_err();
        assert_eq!(error.kind(), kind, "{from} -> {to}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(&value[16..30]), "{shown}");
        assert!(error.remedy().is_some());
    }
    let twice =
        format!("{}{}", &text[..text.len() - 2], &text[text.find("[{").unwrap()..].replacen('[', ",", 1));
    let error = Keyset::from_tink_json(&Secret::new(twice)).unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("two keys"), "{error}");
}

#[test]
fn sealed_keysets_open_under_their_passphrase_alone() {
    let mut keyset = Keyset::generate(size(4096)).unwrap();
    let old = keyset.primary_id();
    keyset.rotate().unwrap();
    keyset.disable(old).unwrap();
    let sealed = keyset.to_sealed_json(&Secret::new("right"), &fast()).unwrap();
    let back = Keyset::from_sealed_json(sealed.as_bytes(), &Secret::new("right")).unwrap();
    assert_eq!(back.to_tink_json(), keyset.to_tink_json());

    let denied = Keyset::from_sealed_json(sealed.as_bytes(), &Secret::new("wrong")).unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(!format!("{denied:?}").contains("wrong"));
    let empty = Keyset::from_sealed_json(sealed.as_bytes(), &Secret::new("")).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Invalid);

    let mut value: serde_json::Value = serde_json::from_str(&sealed).unwrap();
    value["version"] = 2.into();
    let later = Keyset::from_sealed_json(value.to_string().as_bytes(), &Secret::new("right")).unwrap_err();
    assert_eq!(later.kind(), ErrorKind::Unsupported);
    value["version"] = 1.into();
    value["kdf"]["iterations"] = u32::MAX.into();
    let slow = Keyset::from_sealed_json(value.to_string().as_bytes(), &Secret::new("right")).unwrap_err();
    assert_eq!(slow.kind(), ErrorKind::Invalid);

    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] ^= 1;
        match Keyset::from_sealed_json(&bytes, &Secret::new("right")) {
            // The readable summary is not part of the keyset, and a field name may turn into an unknown one there.
            Ok(same) => assert_eq!(same.to_tink_json(), keyset.to_tink_json(), "byte {at}"),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::Unsupported),
                "{error}"
            ),
        }
    }
}

#[test]
fn derived_keysets_depend_on_all_of_their_inputs() {
    let secret = Secret::new([1; 32]);
    let base = Keyset::derive_from_secret(&secret, b"a", size(4096)).unwrap();
    let same = Keyset::derive_from_secret(&secret, b"a", size(4096)).unwrap();
    assert_eq!(base.to_tink_json(), same.to_tink_json());
    for other in [
        Keyset::derive_from_secret(&secret, b"b", size(4096)).unwrap(),
        Keyset::derive_from_secret(&secret, b"a", size(8192)).unwrap(),
        Keyset::derive_from_secret(&Secret::new([2; 32]), b"a", size(4096)).unwrap(),
        Keyset::derive_from_passphrase(&secret, &fast(), b"a", size(4096)).unwrap(),
    ] {
        assert_ne!(base.primary_id(), other.primary_id());
        let (sealed, _) = base.seal(b"", b"data").unwrap();
        assert!(other.open(b"", None, sealed).is_err());
    }
    let short = Keyset::derive_from_secret(&Secret::new("hunter2"), b"", size(4096)).unwrap_err();
    assert_eq!(short.kind(), ErrorKind::Invalid);
    assert!(PassphraseKdf::from_parts([0; 15], 1000).is_err());
    assert!(PassphraseKdf::from_parts([0; 16], 0).is_err());
}

#[test]
fn nothing_shows_a_key() {
    let keyset = Keyset::derive_from_secret(&Secret::new([9; 32]), b"", SegmentSize::default()).unwrap();
    let sealer = keyset.sealer(b"").unwrap();
    let opener = keyset.opener(b"", None);
    let json = keyset.to_tink_json();
    let value = json.expose_str().unwrap().split("\"value\":\"").nth(1).unwrap();
    let key =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, value.split('"').next().unwrap())
            .unwrap();
    let key = &key[key.len() - 32..];
    for shown in [format!("{keyset:?}"), format!("{sealer:?}"), format!("{opener:?}"), format!("{json:?}")] {
        let bytes = format!("{key:?}");
        assert!(!shown.contains(&bytes[1..30]) && !shown.contains(&value[20..40]), "{shown}");
    }
}

#[test]
fn keyset_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").join("keyset.json");
    let passphrase = Secret::new("passphrase");
    let mut keyset = Keyset::generate(SegmentSize::default()).unwrap();

    assert_eq!(Keyset::open_file(&path, &passphrase).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(keyset.create_file(&path, &passphrase).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    keyset.create_file(&path, &passphrase).unwrap();
    assert_eq!(Keyset::open_file(&path, &passphrase).unwrap().to_tink_json(), keyset.to_tink_json());
    let error =
        Keyset::generate(SegmentSize::default()).unwrap().create_file(&path, &passphrase).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains("keyset.json"), "{error}");

    keyset.rotate().unwrap();
    keyset.replace_file(&path, &Secret::new("other")).unwrap();
    assert_eq!(Keyset::open_file(&path, &passphrase).unwrap_err().kind(), ErrorKind::Denied);
    let opened = Keyset::open_file(&path, &Secret::new("other")).unwrap();
    assert_eq!(opened.to_tink_json(), keyset.to_tink_json());

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(std::fs::read_dir(dir.path().join("keys")).unwrap().count(), 1, "drafts left behind");
}

#[test]
fn of_many_creators_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keyset.json");
    let passphrase = Secret::new("passphrase");
    let winners: Vec<Keyset> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let keyset = Keyset::generate(SegmentSize::default()).unwrap();
                    keyset.create_file(&path, &passphrase).ok().map(|()| keyset)
                })
            })
            .collect();
        racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(Keyset::open_file(&path, &passphrase).unwrap().to_tink_json(), winners[0].to_tink_json());
}

#[test]
fn sealer_and_openers_travel_between_threads() {
    fn travels<T: Send + Sync + 'static>(_: &T) {}
    let keyset = Keyset::generate(size(4096)).unwrap();
    travels(&keyset);
    travels(&keyset.sealer(b"").unwrap());
    travels(&keyset.opener(b"", None));
    let (sealed, commitment) = keyset.seal(b"", b"x").unwrap();
    travels(&keyset.segment_opener(&sealed, b"", &commitment).unwrap());
    assert_eq!(keyset.open(b"", None, Bytes::from(sealed.to_vec())).unwrap(), &b"x"[..]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_for_a_keyset_are_an_error_not_a_panic(
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..80),
        at in 0usize..48,
        bits in 1u8..=255,
    ) {
        let text = edited("RAW", "RAW");
        let value = text.expose_str().unwrap().split("\"value\":\"").nth(1).unwrap().split('"').next().unwrap();
        let engine = base64::engine::general_purpose::STANDARD;
        let encode = |bytes: &[u8]| base64::Engine::encode(&engine, bytes);
        proptest::prop_assert!(Keyset::from_tink_json(&edited(value, &encode(&noise))).is_err());
        proptest::prop_assert!(Keyset::from_tink_json(&Secret::new(noise.clone())).is_err());
        proptest::prop_assert!(Keyset::from_sealed_json(&noise, &Secret::new("x")).is_err());

        // A damaged message is refused, or read as another key: a key in clear carries no checksum.
        let mut message = base64::Engine::decode(&engine, value).unwrap();
        let at = at % message.len();
        message[at] ^= bits;
        if let Ok(other) = Keyset::from_tink_json(&edited(value, &encode(&message))) {
            proptest::prop_assert_ne!(other.to_tink_json(), edited("RAW", "RAW"));
        }
    }
}

#[test]
fn debug_shows_no_content() {
    let keyset = Keyset::generate(SegmentSize::default()).unwrap();
    let mut sealer = keyset.sealer(b"").unwrap();
    assert!(sealer.push(&mut Bytes::from_static(b"attack at dawn")).unwrap().is_none());
    assert!(!format!("{sealer:?}").contains("attack"), "{sealer:?}");
}
