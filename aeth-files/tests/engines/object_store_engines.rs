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
use aeth_core::blob::{BlobStore, BlobStoreExt, Capability, PutOptions, probe};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::policy::{Policy, PolicyStore};
use aeth_core::{BlobPath, ErrorKind, Secret, SystemClock};
use aeth_files::object_store;
use aeth_files::{AzureOptions, GcsOptions, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use std::sync::{Arc, OnceLock};
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
        Place::of(azure(&name))
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
        let containers = ["x", "y", "z"].map(|at| Arc::new(azure(&format!("s-{name}-{at}"))) as _);
        Place(composed(containers).await, None)
    }

    every!(make);
}

/// Every claim is kept, and every law of it holds; those that are expected are among them.
async fn is_honest(store: ObjectStoreAdapter, claimed: &[Capability], passed: usize) {
    // As the facade opens it. Node.js looks at the age of idle connections before it reads: an emulator that was busy
    // for some seconds resets one whose request has come already.
    let store = PolicyStore::new(store, Policy::default(), SystemClock::shared());
    let store: Arc<dyn BlobStore> = Arc::new(store);
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
