//! Servers that break off, hang, refuse and answer nonsense, over real connections.
#![cfg(feature = "s3")]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{BlobStore, BlobStoreExt, ListOptions};
use aeth_core::{BlobPath, ErrorKind, Secret};
use aeth_files::{Files, ObjectStoreAdapter, ObjectStoreAdapterOptions, S3Options};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SECRET: &str = "a-very-secret-key";
const HEAD: &str = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Wed, 12 Oct 2022 17:50:00 GMT\r\n";

/// A server that reads a request and then does as it is told; it ends with the process.
fn server(act: impl Fn(&mut TcpStream) + Send + 'static) -> ObjectStoreAdapter {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
            while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
                match connection.read(&mut buffer) {
                    Ok(read) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            act(&mut connection);
        }
    });
    let options = S3Options::new("bucket")
        .with_endpoint(format!("http://127.0.0.1:{port}"))
        .with_region("us-east-1")
        .with_key("key", Secret::new(SECRET))
        .with_allow_http(true)
        .with_adapter(ObjectStoreAdapterOptions::default().with_timeout(Duration::from_millis(300)));
    ObjectStoreAdapter::s3(options).unwrap()
}

fn says(text: String) -> ObjectStoreAdapter {
    server(move |connection| {
        // A client that has gone away is no fault of the server's.
        drop(connection.write_all(text.as_bytes()));
    })
}

fn refuses(status: &str, code: &str) -> ObjectStoreAdapter {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m</Message></Error>");
    let length = body.len();
    says(format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"))
}

fn path() -> BlobPath {
    BlobPath::new("a").unwrap()
}

/// Every call fails with this kind, says what to do, and shows no secret.
async fn fails(store: &ObjectStoreAdapter, kind: ErrorKind) {
    let errors = [
        store.get_bytes(&path()).await.unwrap_err(),
        store.head(&path()).await.unwrap_err(),
        store.put(&path(), "x").await.unwrap_err(),
        store.list_page(ListOptions::default()).await.unwrap_err(),
    ];
    for error in errors {
        // A head has no body that would say why.
        let unexplained = kind == ErrorKind::Denied && error.kind() == ErrorKind::Invalid;
        assert!(error.kind() == kind || unexplained, "{error:?}");
        assert!(unexplained || error.remedy().is_some() || error.retry().is_worthwhile(), "{error:?}");
        assert!(!format!("{error:?}{error}").contains(SECRET));
    }
}

#[tokio::test]
async fn expired_and_wrong_credentials_are_denied_with_a_remedy() {
    for (status, code) in [
        ("400 Bad Request", "ExpiredToken"),
        ("403 Forbidden", "InvalidAccessKeyId"),
        ("403 Forbidden", "SignatureDoesNotMatch"),
        ("401 Unauthorized", "Unauthorized"),
    ] {
        let store = refuses(status, code);
        fails(&store, ErrorKind::Denied).await;
        let error = store.get_bytes(&path()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Denied && error.remedy().is_some(), "{error:?}");
        assert!(!error.retry().is_worthwhile(), "trying again does not help: {error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_overloaded_may_be_asked_again() {
    for status in ["503 Slow Down", "500 Internal Server Error", "429 Too Many Requests"] {
        let store = refuses(status, "SlowDown");
        fails(&store, ErrorKind::Unavailable).await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_a_timeout() {
    let store = server(|connection| {
        let mut rest = Vec::new();
        // Until the client gives up.
        drop(connection.read_to_end(&mut rest));
    });
    let began = Instant::now();
    fails(&store, ErrorKind::Timeout).await;
    assert!(began.elapsed() < Duration::from_secs(30));
    // In the middle of a body, too.
    let store = server(|connection| {
        drop(connection.write_all(format!("{HEAD}Content-Length: 100\r\n\r\nhalf").as_bytes()));
        let mut rest = Vec::new();
        drop(connection.read_to_end(&mut rest));
    });
    let blob = store.get(&path()).await.unwrap();
    assert_eq!((blob.meta.size, blob.bytes().await.unwrap_err().kind()), (100, ErrorKind::Timeout));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_an_error_and_no_file_appears() {
    let cut = || says(format!("{HEAD}Content-Length: 100\r\nConnection: close\r\n\r\nonly a part of it"));
    let error = cut().get_bytes(&path()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.retry().is_worthwhile(), "{error:?}");
    let dir = testkit::temp_dir();
    let target = dir.path().join("target");
    let files = Files::new(cut());
    assert!(files.get_to_file("a", &target).await.is_err());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no part of it is left");
    std::fs::write(&target, "old").unwrap();
    assert!(files.get_to_file("a", &target).await.is_err());
    assert_eq!(std::fs::read(&target).unwrap(), b"old");
}

#[tokio::test]
async fn nonsense_is_a_typed_error() {
    for nonsense in ["", "hello\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"] {
        let store = says(nonsense.to_owned());
        for error in [
            store.get_bytes(&path()).await.unwrap_err(),
            store.list_page(ListOptions::default()).await.unwrap_err(),
        ] {
            let typed = [ErrorKind::Unavailable, ErrorKind::Other, ErrorKind::Corrupt, ErrorKind::Invalid];
            assert!(typed.contains(&error.kind()), "{nonsense:?}: {error:?}");
            assert!(error.component().is_some_and(|component| component.contains("s3")), "{error:?}");
        }
    }
}
