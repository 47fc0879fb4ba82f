//! The router, asked over a real socket.
#![cfg(feature = "http")]
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use crate::common;

use aeth_core::async_trait;
use aeth_core::observe::{Health, HealthCheck};
use aeth_metrics::{HealthOptions, HealthRegistry, Registry};
use common::{Everything, TestClock};
use std::borrow::Cow;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug)]
struct Down;

#[async_trait]
impl HealthCheck for Down {
    fn component(&self) -> Cow<'_, str> {
        "database".into()
    }
    async fn check(&self) -> Health {
        Health::down("away")
    }
}

async fn get(address: std::net::SocketAddr, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_routes_answer() {
    let clock = TestClock::new();
    let registry = Registry::new(clock.clone());
    registry.register(Arc::new(Everything::default()));
    let health = HealthRegistry::new(clock, HealthOptions::default());
    health.register(Arc::new(Down));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = aeth_metrics::http::router(registry, health);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let metrics = get(address, "/metrics", "application/openmetrics-text").await;
    assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("# EOF\n"), "{metrics}");
    assert!(metrics.contains("content-type: application/openmetrics-text; version=1.0.0"));
    let plain = get(address, "/metrics", "*/*").await;
    assert!(plain.contains("content-type: text/plain; version=0.0.4") && !plain.contains("# EOF\n"));
    for path in ["/api/health", "/api/health/database", "/readyz", "/startupz"] {
        let answer = get(address, path, "*/*").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{path}: {answer}");
        assert!(answer.contains("content-type: application/health+json") && answer.contains("\"fail\""));
        assert!(answer.contains("cache-control: no-store"));
    }
    assert!(get(address, "/livez", "*/*").await.starts_with("HTTP/1.1 200 "));
    assert!(get(address, "/api/health/nothing", "*/*").await.starts_with("HTTP/1.1 404 "));
    let json = get(address, "/api/metrics", "*/*").await;
    assert!(json.contains("\"upload_speed\"") && json.starts_with("HTTP/1.1 200 "));
    server.abort();
}
