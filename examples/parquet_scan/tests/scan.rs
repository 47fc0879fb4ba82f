//! The program at a small size: it fails when anything is fetched or opened in vain.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

use std::process::Command;

fn scan(arguments: &[&str]) -> (bool, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_parquet-scan")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

#[test]
fn only_touched_pages_are_fetched_and_only_touched_segments_opened() {
    let (ok, out, err) = scan(&["--rows", "150000"]);
    assert!(ok, "{out}{err}");
    assert_eq!(out.lines().last(), Some("parquet_scan: OK"), "{out}");
    // The second time nothing is fetched, and as much is opened.
    assert!(out.contains("fetched    0 cache pages in 0 requests"), "{out}");
    assert_eq!(out.matches("  opened     ").count(), 3, "{out}");
}

#[test]
fn a_table_too_small_to_leave_pages_out_is_refused() {
    let (ok, _, err) = scan(&["--rows", "0"]);
    assert!(!ok && err.contains("100000"), "{err}");
}
