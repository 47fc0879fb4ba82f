//! Tink's Python package opens what we seal, and we open what it seals.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![cfg(feature = "integration")]

use aeth_core::Secret;
use aeth_core::seal::{Keyset, PassphraseKdf, SegmentSize};
use bytes::Bytes;
use std::path::Path;
use std::process::Command;

/// What Python does with a directory: opens `ours-*`, compares with `plain-*`, seals `theirs-*`; makes a keyset
/// of its own and seals under it.
const SCRIPT: &str = r#"
import base64, glob, hashlib, io, json, os, sys
import tink
from tink import aead, json_proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_pb2, tink_pb2
from tink.streaming_aead import streaming_aead_key_templates as templates

streaming_aead.register()
aead.register()
os.chdir(sys.argv[1])
AAD = b"the associated data"

class Keep(io.BytesIO):
    def close(self):
        pass

def read(name):
    with open(name, "rb") as file:
        return file.read()

def write(name, data):
    with open(name, "wb") as file:
        file.write(data)

def seal(primitive, plain):
    out = Keep()
    with primitive.new_encrypting_stream(out, AAD) as stream:
        stream.write(plain)
    return out.getvalue()

def unseal(primitive, sealed):
    with primitive.new_decrypting_stream(io.BytesIO(sealed), AAD) as stream:
        return stream.read()

handle = json_proto_keyset_format.parse(read("keyset.json").decode(), secret_key_access.TOKEN)
ours = handle.primitive(streaming_aead.StreamingAead)
# Written again by Tink, for us to read.
write("keyset-by-tink.json", json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN).encode())

# The sealed keyset, opened by the recipe in the documentation.
wrapped = json.loads(read("sealed-keyset.json"))
kdf = wrapped["kdf"]
assert kdf["name"] == "PBKDF2-HMAC-SHA512"
key = hashlib.pbkdf2_hmac("sha512", b"passphrase", base64.b64decode(kdf["salt"]), kdf["iterations"], 32)
wrapping = tink_pb2.Keyset(primary_key_id=1)
entry = wrapping.key.add(key_id=1, status=tink_pb2.ENABLED, output_prefix_type=tink_pb2.RAW)
entry.key_data.type_url = "type.googleapis.com/google.crypto.tink.AesGcmKey"
entry.key_data.value = aes_gcm_pb2.AesGcmKey(key_value=key).SerializeToString()
entry.key_data.key_material_type = tink_pb2.KeyData.SYMMETRIC
from tink import proto_keyset_format
wrapping = proto_keyset_format.parse(wrapping.SerializeToString(), secret_key_access.TOKEN)
unwrapped = json_proto_keyset_format.parse_encrypted(
    json.dumps(wrapped["keyset"]), wrapping.primitive(aead.Aead), b"aetherius sealed keyset v1")
assert json.loads(json_proto_keyset_format.serialize(unwrapped, secret_key_access.TOKEN)) == json.loads(
    read("keyset-by-tink.json")), "sealed keyset differs"

fresh = tink.new_keyset_handle(templates.AES256_GCM_HKDF_4KB)
write("keyset-of-tink.json", json_proto_keyset_format.serialize(fresh, secret_key_access.TOKEN).encode())
fresh = fresh.primitive(streaming_aead.StreamingAead)

opened = 0
for name in sorted(glob.glob("ours-*")):
    number = name.split("-")[-1]
    plain = read("plain-" + number)
    assert unseal(ours, read(name)) == plain, name + " opens to something else"
    opened += 1
    write("theirs-" + number, seal(ours, plain))
    write("fresh-" + number, seal(fresh, plain))

# The judge can say no: a flipped bit must not open.
damaged = bytearray(read("ours-primary-5000"))
damaged[-1] ^= 1
try:
    unseal(ours, bytes(damaged))
except Exception:
    pass
else:
    raise SystemExit("a damaged object was opened")
print("opened", opened)
"#;

fn python(dir: &Path) -> String {
    let python = testkit::python().unwrap_or_else(|missing| panic!("{missing}"));
    let script = dir.join("judge.py");
    std::fs::write(&script, SCRIPT).unwrap();
    let output = Command::new(&python).arg(&script).arg(dir).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !errors.contains("No module named 'tink'"),
        "{} has no package `tink`: run `{} -m pip install tink` (or `cargo xtask setup`)",
        python.display(),
        python.display()
    );
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn tink_and_we_open_each_other() {
    let aad = b"the associated data";
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut keyset = Keyset::generate(SegmentSize::new(1024).unwrap()).unwrap();
    let old = keyset.clone();
    // The primary has the default segments; an older key and a disabled one stand beside it.
    let large = keyset.add_key(SegmentSize::default()).unwrap();
    keyset.promote(large).unwrap();
    let disabled = keyset.add_key(SegmentSize::MAX).unwrap();
    keyset.disable(disabled).unwrap();
    std::fs::write(dir.join("keyset.json"), keyset.to_tink_json().expose()).unwrap();
    let kdf = PassphraseKdf::new().unwrap().with_iterations(1000).unwrap();
    let sealed = keyset.to_sealed_json(&Secret::new("passphrase"), &kdf).unwrap();
    std::fs::write(dir.join("sealed-keyset.json"), sealed).unwrap();

    let sizes = [0, 1, 967, 968, 969, 1976, 1977, 5000, 65_479, 65_480, 65_481, 131_000, 131_001, 1_000_000];
    let plain = |size: usize| -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(size as u64);
        std::iter::repeat_with(|| rng.u8(..)).take(size).collect()
    };
    for size in sizes {
        std::fs::write(dir.join(format!("plain-{size}")), plain(size)).unwrap();
        for (name, keyset) in [("primary", &keyset), ("old", &old)] {
            let (sealed, _) = keyset.seal(aad, &plain(size)).unwrap();
            std::fs::write(dir.join(format!("ours-{name}-{size}")), sealed).unwrap();
        }
    }

    assert_eq!(python(dir), format!("opened {}", 2 * sizes.len()));

    let load = |name: &str| Keyset::from_tink_json(&Secret::from_file(dir.join(name)).unwrap()).unwrap();
    let rewritten = load("keyset-by-tink.json");
    assert_eq!(rewritten.to_tink_json(), keyset.to_tink_json());
    let fresh = load("keyset-of-tink.json");
    assert_eq!(fresh.segment_size().get(), 4096);
    for size in sizes {
        for (name, keyset) in [("theirs", &keyset), ("fresh", &fresh)] {
            let sealed = Bytes::from(std::fs::read(dir.join(format!("{name}-{size}"))).unwrap());
            assert_eq!(keyset.open(aad, None, sealed).unwrap(), plain(size), "{name}-{size}");
        }
    }
}
