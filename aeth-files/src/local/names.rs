//! How blob paths become names of files.
//!
//! A path keeps its own names wherever the file system can hold them, so that other tools see the same tree.
//! Everything else is escaped so that it comes back exactly:
//!
//! | what | becomes |
//! |---|---|
//! | `%` in a segment | `%25` |
//! | a first segment `.aeth` (the private directory) | `%2Eaeth` |
//! | a segment of more than 254 bytes (escaped) | its beginning, `%~`, and 32 hexadecimal digits of its SHA-256; the whole is kept in `.aeth/names/` |
//! | a blob `a` beside blobs `a/...` | the file `a%` beside the directory `a` |
//! | any file under the sharded layout | the same name in `%+00` to `%+ff`, by its hash |
//!
//! A name that is not what this would write (`50% off`, bytes that are not UTF-8) was put there by another
//! tool: it cannot be addressed, and listings leave it out.

use super::options::Layout;
use aeth_core::BlobPath;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The private directory at the root of a store.
pub(super) const PRIVATE: &str = ".aeth";
/// Escaped names longer than this are cut: file systems allow 255 bytes, one of which is left for [`beside`].
const LONGEST: usize = 254;
/// What a blob's file has behind its name when a directory has the name.
const BESIDE: char = '%';
const CUT: &str = "%~";
const SHARD: &str = "%+";
const DIGITS: usize = 32;

/// Where a blob's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The directory, relative to the root; empty for the root itself.
    pub(super) dir: String,
    /// The name of the file in it.
    pub(super) name: String,
    /// Names that were cut, as (digits, whole): they are kept before a file is written there.
    pub(super) cut: Vec<(String, String)>,
}

impl Place {
    /// The file, relative to the root.
    pub(super) fn file(&self) -> String {
        if self.dir.is_empty() { self.name.clone() } else { format!("{}/{}", self.dir, self.name) }
    }
}

/// The place of a blob.
pub(super) fn place(path: &BlobPath, layout: Layout) -> Place {
    let mut cut = Vec::new();
    let mut dir = String::with_capacity(path.as_str().len() + 8);
    let mut segments = path.as_str().split('/').enumerate().peekable();
    let mut name = String::new();
    while let Some((i, segment)) = segments.next() {
        let escaped = escape(segment, i == 0, &mut cut);
        if segments.peek().is_none() {
            name = escaped.into_owned();
            break;
        }
        push(&mut dir, &escaped);
    }
    if layout == Layout::Sharded {
        push(&mut dir, &shard(&name));
    }
    Place { dir, name, cut }
}

/// The directory of all blobs whose path starts with `segments`, joined by `/`.
pub(super) fn directory(segments: &str) -> String {
    let mut dir = String::new();
    for (i, segment) in segments.split('/').filter(|segment| !segment.is_empty()).enumerate() {
        push(&mut dir, &escape(segment, i == 0, &mut Vec::new()));
    }
    dir
}

fn push(dir: &mut String, name: &str) {
    if !dir.is_empty() {
        dir.push('/');
    }
    dir.push_str(name);
}

/// The name of a blob's file when a directory has its own.
pub(super) fn beside(name: &str) -> String {
    format!("{name}{BESIDE}")
}

/// The name without the mark of [`beside`].
pub(super) fn without_beside(name: &str) -> &str {
    name.strip_suffix(BESIDE).unwrap_or(name)
}

/// The shard of a file.
fn shard(name: &str) -> String {
    format!("{SHARD}{:02x}", crc32c::crc32c(name.as_bytes()) & 0xff)
}

/// True for the name of a shard.
pub(super) fn is_shard(name: &str) -> bool {
    name.strip_prefix(SHARD).is_some_and(|digits| digits.len() == 2 && is_hex(digits))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The name of a segment.
fn escape<'a>(segment: &'a str, first: bool, cut: &mut Vec<(String, String)>) -> Cow<'a, str> {
    let escaped = if first && segment == PRIVATE {
        Cow::Borrowed("%2Eaeth")
    } else if segment.contains('%') {
        Cow::Owned(segment.replace('%', "%25"))
    } else {
        Cow::Borrowed(segment)
    };
    if escaped.len() <= LONGEST {
        return escaped;
    }
    let digits = digest(segment);
    let mut end = LONGEST - 2 - DIGITS;
    // Neither a character nor an escape is cut apart.
    while !escaped.is_char_boundary(end)
        || escaped.get(end.saturating_sub(2)..end).is_some_and(|s| s.contains('%'))
    {
        end -= 1;
    }
    let name = format!("{}{CUT}{digits}", escaped.get(..end).unwrap_or_default());
    cut.push((digits, segment.to_owned()));
    Cow::Owned(name)
}

/// The digits that stand for a segment that is cut.
pub(super) fn digest(segment: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(segment.as_bytes()).into();
    let mut text = crate::random::to_hex(&hash);
    text.truncate(DIGITS);
    text
}

/// The segment that a name stands for; `None` for a name that is not ours. `whole` gives the segment of cut
/// names from their digits.
pub(super) fn unescape<'a>(
    name: &'a str,
    first: bool,
    whole: impl FnOnce(&str) -> Option<String>,
) -> Option<Cow<'a, str>> {
    if !name.contains('%') {
        return (name.len() <= LONGEST && !(first && name == PRIVATE)).then_some(Cow::Borrowed(name));
    }
    if first && name == "%2Eaeth" {
        return Some(Cow::Borrowed(PRIVATE));
    }
    if let Some((_, digits)) = name.split_once(CUT) {
        let segment = whole(digits).filter(|_| digits.len() == DIGITS && is_hex(digits))?;
        return (escape(&segment, first, &mut Vec::new()) == name).then_some(Cow::Owned(segment));
    }
    let segment = name.replace("%25", "%");
    (escape(&segment, first, &mut Vec::new()) == name).then_some(Cow::Owned(segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn awkward() -> Vec<String> {
        let mut all: Vec<String> = [
            "a", "%", "%25", "%2E", "%2Eaeth", ".aeth", "a%", "%+00", "%~", "é", "a b", "x%~y", "%%%", "con",
        ]
        .map(String::from)
        .to_vec();
        for length in [165, 166, 167, 199, 200, 201, 254, 255, 256, 341, 1024] {
            all.extend(["a", "%", "é", "%25"].map(|unit| unit.repeat(length / unit.len())));
        }
        all
    }

    #[test]
    fn names_come_back_and_fit_and_never_meet() {
        let mut seen = HashMap::new();
        for segment in awkward() {
            for first in [true, false] {
                let mut cut = Vec::new();
                let name = escape(&segment, first, &mut cut).into_owned();
                assert!(name.len() < 255, "{} bytes", name.len());
                assert!(!name.ends_with(BESIDE) && !is_shard(&name));
                assert!(!first || name != PRIVATE);
                assert_eq!(unescape(&name, first, |_| cut.pop().map(|(_, whole)| whole)).unwrap(), segment);
                let earlier = seen.insert((name.clone(), first), segment.clone());
                assert!(earlier.is_none_or(|earlier| earlier == segment), "{name}");
            }
        }
    }

    #[test]
    fn foreign_names_are_refused() {
        for name in ["50% off", "%41", "%2Eaeth2", "a%~00", "%+zz%", &"a".repeat(255)] {
            assert_eq!(unescape(name, false, |_| Some("other".into())), None, "{name}");
        }
        assert_eq!(unescape(".aeth", true, |_| None), None);
        assert_eq!(unescape("%2Eaeth", false, |_| None), None);
    }

    #[test]
    fn places() {
        let path = BlobPath::new("a/50%/c").unwrap();
        let plain = place(&path, Layout::Plain);
        assert_eq!((plain.dir.as_str(), plain.name.as_str()), ("a/50%25", "c"));
        let sharded = place(&path, Layout::Sharded);
        assert!(sharded.dir.starts_with("a/50%25/%+") && sharded.name == "c");
        assert_eq!(directory("a/50%/"), "a/50%25");
    }
}
