//! Plain tables for a terminal.

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
