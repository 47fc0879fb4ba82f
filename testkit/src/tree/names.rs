//! File names as they are met in the wild.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use fastrand::Rng;

/// Names that have broken a backup program or an object store somewhere.
const AWKWARD: &[&[u8]] = &[
    b"with space",
    b" leading",
    b"trailing ",
    b"trailing.",
    b"-dash",
    b"--",
    b"new\nline",
    b"tab\there",
    b"back\\slash",
    b"quote'\"`",
    b"dollar$HOME",
    b"percent%2Fslash",
    b"glob*?[a]",
    b"colon:semi;",
    b"<angle>&amp;",
    b".hidden",
    b"...",
    b"control\x01\x7f",
    b"caf\xc3\xa9",              // é composed
    b"cafe\xcc\x81",             // é decomposed: another name, the same look
    b"\xe6\x97\xa5\xe6\x9c\xac", // CJK
    b"\xf0\x9f\xa6\x80",         // outside the basic plane
    b"bidi\xe2\x80\xaeoverride",
];

/// Names that are not UTF-8. Linux takes any byte but `/` and NUL.
const FOREIGN: &[&[u8]] = &[b"latin\xe9", b"\xff\xfe", b"cut\xe6\x97", b"sur\xed\xa0\x80rogate"];

/// A name for entry `index` of a directory: mostly plain, sometimes awkward; unique in the directory.
pub(crate) fn pick(rng: &mut Rng, index: usize, foreign: bool) -> OsString {
    let mut name = match rng.u8(..) {
        0..=15 => rng.choice(AWKWARD).copied().unwrap_or(b"a").to_vec(),
        16..=19 if foreign && cfg!(target_os = "linux") => {
            rng.choice(FOREIGN).copied().unwrap_or(b"a").to_vec()
        }
        20..=21 => vec![b'n'; 200],
        _ => (0..rng.usize(3..14)).map(|_| rng.lowercase() as u8).collect(),
    };
    // The index keeps names apart; in the middle of nothing, so that suffixes like `.` stay at the end.
    let mut unique = format!("{index:x}").into_bytes();
    unique.append(&mut name);
    OsString::from_vec(unique)
}
