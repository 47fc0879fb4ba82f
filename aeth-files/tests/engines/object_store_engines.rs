//! The bridges over the protocol of Azure Blob Storage, spoken by Azurite.
#![cfg(all(feature = "azure", feature = "gcs", feature = "integration"))]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::unused_async,
    reason = "a test crate; makers are alike"
)]

use crate::suite::{Place, composed};
use aeth_core::blob::{
    BlobStore, BlobStoreExt, Capability, PresignMethod, PresignOptions, PutOptions, SignedUrl, probe,
};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::policy::{Policy, PolicyStore};
use aeth_core::{BlobPath, ErrorKind, Secret, SystemClock};
use aeth_files::object_store;
use aeth_files::{AzureOptions, GcsOptions, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use testkit::Emulator;

/// The public key of Azurite's account.
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container: a request signed with the account's key, which no client of ours makes.
const MAKE_CONTAINER: &str = "
import base64, email.utils, hashlib, hmac, sys, urllib.request
port, name, key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
text = ('PUT' + chr(10) * 12 + 'x-ms-date:' + date + chr(10) + 'x-ms-version:2021-08-06' + chr(10)
        + '/devstoreaccount1/devstoreaccount1/' + name + chr(10) + 'restype:container')
mark = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
url = 'http://127.0.0.1:' + port + '/devstoreaccount1/' + name + '?restype=container'
request = urllib.request.Request(url, data=b'', method='PUT', headers={
    'x-ms-date': date, 'x-ms-version': '2021-08-06', 'Content-Length': '0', 'Content-Type': '',
    'Authorization': 'SharedKey devstoreaccount1:' + mark})
print(urllib.request.urlopen(request).status)
";

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

/// Engines refuse smaller parts than this.
fn adapter() -> ObjectStoreAdapterOptions {
    ObjectStoreAdapterOptions::default().with_part_size(5 << 20)
}

fn azure(container: &str) -> ObjectStoreAdapter {
    static AZURITE: OnceLock<Emulator> = OnceLock::new();
    let azurite = AZURITE.get_or_init(Emulator::azurite);
    let python = testkit::python().unwrap_or_else(|missing| panic!("{missing}"));
    let mut make = std::process::Command::new(python);
    make.args(["-c", MAKE_CONTAINER, &azurite.port().to_string(), container, AZURITE_KEY]);
    let made = make.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    azure_at(azurite.port(), container)
}

/// With the policy around it, as the facade opens it. Node.js looks at the age of idle connections before it reads: an
/// emulator that was busy for some seconds resets one whose request has come already.
fn patient(store: ObjectStoreAdapter) -> PolicyStore {
    PolicyStore::new(store, Policy::default(), SystemClock::shared())
}

fn azure_at(port: u16, container: &str) -> ObjectStoreAdapter {
    let options = AzureOptions::new("devstoreaccount1", container)
        .with_access_key(Secret::new(AZURITE_KEY))
        .with_endpoint(format!("http://127.0.0.1:{port}/devstoreaccount1"))
        .with_allow_http(true)
        .with_adapter(adapter());
    ObjectStoreAdapter::azure(options).unwrap()
}

fn gcs_at(port: u16, bucket: &str) -> ObjectStoreAdapter {
    let key = format!(
        "{{\"gcs_base_url\":\"http://127.0.0.1:{port}\",\"disable_oauth\":true,\"client_email\":\"\",\
         \"private_key\":\"\",\"private_key_id\":\"\"}}"
    );
    let options = GcsOptions::new(bucket)
        .with_service_account(Secret::new(key))
        .with_allow_http(true)
        .with_adapter(adapter());
    // The emulator's key signs nothing.
    ObjectStoreAdapter::gcs(options).unwrap().without_capability(Capability::Presign)
}

mod over_azure {
    use super::*;

    async fn make(name: String) -> Place {
        Place::of(patient(azure(&name)))
    }

    main!(make);
    uploads!(make);
    functions! { make;
        // Its engine joins what the last writer named: of two uploads of one blob the second to complete fails.
        multipart_race_condition => |store| laws::multipart_race_condition(&store, false),
        // The limit of object_store's own client: uploads by id take no attributes there.
        multipart_with_opts_is_refused => |store| async move {
            use object_store::multipart::MultipartStore;
            let mut options = object_store::PutMultipartOptions::default();
            options.attributes.insert(object_store::Attribute::Metadata("a".into()), "b".into());
            let begun = store.create_multipart_opts(&"a".into(), options).await.unwrap_err();
            assert!(matches!(begun, object_store::Error::NotImplemented { .. }), "{begun}");
        },
    }
}

mod over_the_composition_on_azure {
    use super::*;

    async fn make(name: String) -> Place {
        let name = &name[..name.len().min(40)];
        let containers = ["x", "y", "z"].map(|at| Arc::new(patient(azure(&format!("s-{name}-{at}")))) as _);
        Place(composed(containers).await, None)
    }

    every!(make);
}

/// Every claim is kept, and every law of it holds; those that are expected are among them.
async fn is_honest(store: ObjectStoreAdapter, claimed: &[Capability], passed: usize) {
    let store: Arc<dyn BlobStore> = Arc::new(patient(store));
    for capability in claimed {
        assert!(store.capabilities().has(*capability), "{} lost {capability:?}", store.name());
    }
    // An emulator answers slowly: few rounds, and large blobs no larger than what still goes up in two parts.
    let subject = BlobSubject::new(Arc::clone(&store)).with_rounds(2).with_large((6 << 20) + 1);
    let report = subject.run().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.passed().count() >= passed, "{report}");
    assert_eq!(probe(&store, &path("probe")).await.unwrap(), store.capabilities());
}

const CONDITIONS: [Capability; 5] = [
    Capability::CompareAndSwap,
    Capability::CreateOnly,
    Capability::ConditionalGet,
    Capability::Attributes,
    Capability::PlainUploads,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_on_azure() {
    is_honest(azure("laws"), &CONDITIONS, 40).await;
}

#[tokio::test]
async fn a_signed_url_of_azure_does_what_it_is_for_and_no_more() {
    /// Prints the status, and what was answered.
    const REQUEST: &str = "
import sys, urllib.error, urllib.request
method, url, *headers = sys.argv[1:]
data = b'put by another client' if method == 'PUT' else None
request = urllib.request.Request(url, data=data, method=method)
for header in headers:
    request.add_header(*header.split('=', 1))
try:
    answer = urllib.request.urlopen(request)
    print(answer.status, answer.read().decode(), end='')
except urllib.error.HTTPError as refused:
    print(refused.code, end='')
";
    let store = azure("signed");
    let blob = path("a/b-1.txt");
    store.put(&blob, "hello").await.unwrap();
    let python = testkit::python().unwrap_or_else(|missing| panic!("{missing}"));
    let request = |method: &str, signed: &SignedUrl| {
        let mut command = std::process::Command::new(&python);
        command.args(["-c", REQUEST, method, &signed.url]);
        command.args(signed.headers.iter().map(|(name, value)| format!("{name}={value}")));
        let done = command.output().unwrap();
        assert!(done.status.success(), "{method}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let sign = async |method| {
        store.presign(&blob, PresignOptions::new(method, Duration::from_secs(60))).await.unwrap()
    };
    let read = sign(PresignMethod::Get).await;
    assert_eq!(request("GET", &read), "200 hello");
    assert_eq!(request("DELETE", &read), "403", "it is for reading");
    assert_eq!(request("HEAD", &sign(PresignMethod::Head).await), "200 ");
    assert_eq!(request("PUT", &sign(PresignMethod::Put).await), "201 ");
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "put by another client");
    assert_eq!(request("DELETE", &sign(PresignMethod::Delete).await), "202 ");
    assert_eq!(store.head(&blob).await.unwrap_err().kind(), ErrorKind::NotFound);

    let short = PresignOptions::new(PresignMethod::Get, Duration::from_secs(60));
    let error = store.presign(&path("a b"), short).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.remedy().is_some(), "{error:?}");
    let long = PresignOptions::new(PresignMethod::Get, Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(store.presign(&blob, long).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn what_is_not_there_is_a_typed_error_without_secrets() {
    let azurite = azure("exists");
    azurite.put(&path("a"), "x").await.unwrap();
    let nowhere = testkit::free_port();
    for store in [azure_at(nowhere, "never-made"), gcs_at(nowhere, "never-made")] {
        let error = store.put_opts(&path("a"), "x".into(), PutOptions::create()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(error.retry().is_worthwhile() && error.remedy().is_some(), "{error:?}");
        assert!(!format!("{error:?}{store:?}").contains(&AZURITE_KEY[..20]));
    }
}
