//! Names of blobs as names that git stores, and back.
//!
//! Git refuses some names (`.git` and what a Windows or Apple file system takes for it) and gives others a
//! meaning (`.gitmodules`, `.gitattributes`). These are escaped, and a tree cannot hold both `a` and `a/b`, which a
//! store can:
//!
//! - a segment that git refuses or interprets becomes `%` and its bytes in percent encoding (`%2Egit`);
//! - a segment that starts with `%` gets each of its `%` as `%25`;
//! - a blob whose name is also a directory is stored in it as `%`.
//!
//! Every other name is stored as it is, and every name comes back as it was.

use aeth_core::{BlobPath, Error, Result};
use std::fmt::Write as _;

/// The name of a blob inside the directory of the same name.
pub(super) const OWN: &str = "%";
/// The name, at the root of a tree, of the attributes of its blobs.
pub(super) const ATTRIBUTES: &str = "%attributes";

/// The name of a segment in a tree.
pub(super) fn to_git(segment: &str) -> String {
    if segment.starts_with('%') {
        return segment.replace('%', "%25");
    }
    if !is_special(segment) {
        return segment.to_owned();
    }
    let mut name = String::with_capacity(segment.len() * 2);
    for (at, byte) in segment.bytes().enumerate() {
        if at > 0 && byte.is_ascii_alphanumeric() {
            name.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

/// The path of a blob from its names in the tree; `None` for what is no blob of ours (the attributes).
///
/// # Errors
/// Invalid for a name that cannot be a path of the contract, which another tool has committed.
pub(super) fn from_git(path: &[u8]) -> Result<Option<BlobPath>> {
    let refused =
        || Error::invalid("a name in the repository is not UTF-8").with_key(String::from_utf8_lossy(path));
    let text = std::str::from_utf8(path).map_err(|_| refused())?;
    if text == ATTRIBUTES {
        return Ok(None);
    }
    let text = text.strip_suffix("/%").unwrap_or(text);
    let mut whole = String::with_capacity(text.len());
    for (at, segment) in text.split('/').enumerate() {
        if at > 0 {
            whole.push('/');
        }
        if segment.starts_with('%') {
            let decoded = BlobPath::new(segment).map_err(Error::from)?.decode();
            whole.push_str(std::str::from_utf8(&decoded).map_err(|_| refused())?);
        } else {
            whole.push_str(segment);
        }
    }
    BlobPath::new(whole).map(Some).map_err(|error| Error::from(error).with_key(text))
}

/// True for a name that git refuses or gives a meaning to on some file system; true for a few more does no harm.
fn is_special(segment: &str) -> bool {
    segment.split('\\').any(|part| {
        // What Apple's file systems ignore in names.
        let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
        let name: String = part.chars().filter(|c| !ignored(*c)).collect::<String>().to_lowercase();
        // What Windows ignores: a stream's name, and spaces and dots at the end.
        let name = name.split(':').next().unwrap_or("").trim_end_matches([' ', '.']);
        // A short name of Windows (`GIT~1`, `GI7EBA~1`).
        let short = name.starts_with("gi") && name.bytes().take(9).any(|byte| byte == b'~');
        short || matches!(name, ".git" | ".gitmodules" | ".gitattributes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_none_is_what_git_refuses() {
        let plain = ["a", "a b", "é", ".gitignore", "git", "a%b", "x.git", "ü~1"];
        for name in plain {
            assert_eq!(to_git(name), name);
        }
        let special = [
            ".git",
            ".GIT",
            ".git.",
            ".git ",
            ".git::$INDEX",
            "git~1",
            "GI7EBA~1",
            "gitmod~4",
            ".g\u{200c}it",
            ".gitmodules",
            ".GitAttributes",
            "foo\\.git",
            ".gitmodules ",
            "%",
            "%2Egit",
            "%attributes",
            "%%",
        ];
        for name in special {
            let stored = to_git(name);
            assert!(stored.starts_with('%') && stored.len() > 2, "{name} as {stored}");
            assert!(!is_special(&stored), "{name} as {stored}");
        }
        for name in plain.iter().chain(&special) {
            let stored = format!("d/{}", to_git(name));
            assert_eq!(from_git(stored.as_bytes()).unwrap().unwrap().as_str(), format!("d/{name}"));
            let own = format!("d/{}/{OWN}", to_git(name));
            assert_eq!(from_git(own.as_bytes()).unwrap().unwrap().as_str(), format!("d/{name}"));
        }
        assert_eq!(from_git(ATTRIBUTES.as_bytes()).unwrap(), None);
        assert!(from_git(b"a/\xff").is_err() && from_git(b"%2E%2E").is_err());
    }
}
