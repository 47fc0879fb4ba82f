//! Plain tables for a terminal.

use std::time::Duration;

/// Prints rows of (what, figure) under a heading.
pub(crate) fn print(heading: &str, rows: &[(String, String)]) {
    let width = rows.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
    println!("\n{heading}");
    for (what, figure) in rows {
        println!("  {what:width$}  {figure}");
    }
}

/// Bytes, as people read them.
pub(crate) fn bytes(bytes: u64) -> String {
    aetherius::Size::from_bytes(bytes).to_string()
}

/// Bytes a second.
pub(crate) fn rate(bytes: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds <= 0.0 {
        return "-".into();
    }
    format!("{:.0} MiB/s", bytes as f64 / seconds / f64::from(1 << 20))
}
