//! Tink's Python package opens the blobs that the encrypted layer stores, and the layer opens its.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

use crate::support;

use aeth_core::BlobPath;
use aeth_core::blob::{BlobStoreExt, Capability};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_files::{Encrypted, LocalDir, MemoryStore};
use bytes::Bytes;
use std::process::Command;
use support::Without;

/// Opens the file `ours` under the associated data given and compares it with `plain`; seals `plain` as
/// `theirs` under the other associated data.
const SCRIPT: &str = r#"
import io, os, sys
import tink
from tink import json_proto_keyset_format, secret_key_access, streaming_aead

streaming_aead.register()
os.chdir(sys.argv[1])

class Keep(io.BytesIO):
    def close(self):
        pass

def read(name):
    with open(name, "rb") as file:
        return file.read()

handle = json_proto_keyset_format.parse(read("keyset.json").decode(), secret_key_access.TOKEN)
primitive = handle.primitive(streaming_aead.StreamingAead)
with primitive.new_decrypting_stream(io.BytesIO(read("ours")), sys.argv[2].encode()) as stream:
    assert stream.read() == read("plain"), "ours opens to something else"
out = Keep()
with primitive.new_encrypting_stream(out, sys.argv[3].encode()) as stream:
    stream.write(read("plain"))
with open("theirs", "wb") as file:
    file.write(out.getvalue())
"#;

#[tokio::test]
async fn blobs_go_both_ways() {
    let dir = testkit::temp_dir();
    let keyset = Keyset::generate(SegmentSize::default()).unwrap();
    std::fs::write(dir.path().join("keyset.json"), keyset.to_tink_json().expose()).unwrap();
    let path = BlobPath::new("reports/2026.bin").unwrap();
    for size in [0, 1, 65_000, 200_000] {
        let plain: Vec<u8> = (0..size).map(|i: u32| (i % 251) as u8).collect();
        std::fs::write(dir.path().join("plain"), &plain).unwrap();

        // What lies on the disk, as it lies there, and the identity from the blob's attributes.
        let local = LocalDir::open(dir.path().join("store")).await.unwrap();
        let sealed = Encrypted::new(local.clone(), keyset.clone());
        sealed.put(&path, plain.clone()).await.unwrap();
        std::fs::copy(dir.path().join("store/reports/2026.bin"), dir.path().join("ours")).unwrap();
        let attributes = local.head(&path).await.unwrap().attributes.unwrap();
        let identity = &attributes.user["aeth-seal-id"];

        let python = testkit::python().unwrap_or_else(|missing| panic!("{missing}"));
        let script = dir.path().join("judge.py");
        std::fs::write(&script, SCRIPT).unwrap();
        let arguments =
            [script.as_os_str(), dir.path().as_os_str(), identity.as_ref(), path.as_str().as_ref()];
        let output = Command::new(python).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        // On a store without attributes the associated data is the path, so what Python sealed under it is a
        // blob of ours.
        let store = MemoryStore::new();
        store.put(&path, Bytes::from(std::fs::read(dir.path().join("theirs")).unwrap())).await.unwrap();
        let opened = Encrypted::new(Without::new(store, &[Capability::Attributes]), keyset.clone());
        assert_eq!(opened.get_bytes(&path).await.unwrap(), plain);
    }
}
