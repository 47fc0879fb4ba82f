//! Prometheus itself reads what is exported.
#![cfg(feature = "integration")]
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use crate::common;

use aeth_metrics::{Format, Registry};
use common::{Everything, TestClock};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

#[test]
fn promtool_finds_nothing_to_say() {
    let everything = Everything::default();
    (0..1000).for_each(|n| everything.histogram.record(n * n * 1000));
    let registry = Registry::new(TestClock::new());
    registry.register(Arc::new(everything));
    let text = registry.collect().render(Format::Prometheus);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`promtool` is needed: apt-get install prometheus");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
