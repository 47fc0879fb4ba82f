//! What is shown, to people or to machines.

use aetherius::Error;
use serde_json::{Value, json};
use std::time::Duration;

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Output {
    /// A line for people.
    pub(super) fn line(self, text: impl AsRef<str>) {
        if !self.json && !self.quiet {
            show(text.as_ref());
        }
    }

    /// What was asked for: shown even when quiet.
    pub(super) fn result(self, text: impl FnOnce() -> String, value: impl FnOnce() -> Value) {
        if self.json {
            show(&value().to_string());
        } else {
            show(&text());
        }
    }

    /// A line for machines.
    pub(super) fn value(self, value: impl FnOnce() -> Value) {
        if self.json {
            show(&value().to_string());
        }
    }

    /// Something that is not as it should be.
    pub(super) fn warning(self, text: &str) {
        if self.json {
            eprintln!("{}", json!({ "message_type": "error", "error": { "message": text } }));
        } else {
            eprintln!("warning: {text}");
        }
    }

    pub(super) fn failure(self, error: &Error) {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        if self.json {
            let code = super::exit::code(error);
            let message = json!({
                "message_type": "exit_error", "code": code, "message": error.to_string(),
                "kind": error.kind().as_str(), "causes": causes,
            });
            eprintln!("{message}");
            return;
        }
        eprintln!("backup: {error}");
        // What was wrapped to say where it happened is in the line above already.
        let said = error.to_string();
        for cause in causes.iter().filter(|cause| !said.contains(cause.as_str())) {
            eprintln!("  because: {cause}");
        }
    }
}

/// Writes a line; whoever reads it may have gone.
fn show(text: &str) {
    use std::io::Write;
    if writeln!(std::io::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// Bytes, as people read them.
pub(super) fn size(bytes: u64) -> String {
    aetherius::Size::from_bytes(bytes).to_string()
}

/// `m:ss`, or `h:mm:ss`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}
