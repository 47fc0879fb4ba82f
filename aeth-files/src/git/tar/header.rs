//! Headers of tar, to the byte as `git archive` writes them (git's `archive-tar.c`).

use gix::ObjectId;
use std::fmt::Write as _;

/// The size of a record.
pub(super) const RECORD: usize = 512;
/// The archive's length is a multiple of this.
const BLOCK: u64 = 20 * RECORD as u64;
/// The greatest size and the greatest time that eleven octal digits hold.
const MOST: u64 = 0o777_7777_7777;

/// What stands before the content of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// The path, with the slash of a directory.
    pub(super) path: &'a [u8],
    pub(super) kind: ItemKind<'a>,
    pub(super) id: ObjectId,
    pub(super) mtime: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ItemKind<'a> {
    File { size: u64, executable: bool },
    Dir,
    Link(&'a [u8]),
}

/// The header of the whole archive, which names the commit; and the time that entries are given.
pub(super) fn global(commit: ObjectId, time: u64) -> (Vec<u8>, u64) {
    let mut records = pax("comment", commit.to_string().as_bytes());
    if time > MOST {
        records.extend(pax("mtime", time.to_string().as_bytes()));
    }
    let mtime = time.min(MOST);
    let mut out = header(b"pax_global_header", &[], &[], 0o666, records.len() as u64, mtime, b'g').to_vec();
    append_padded(&mut out, &records);
    (out, mtime)
}

/// The headers of an entry.
pub(super) fn entry(item: &Item<'_>) -> Vec<u8> {
    let (mode, size, kind, link) = match item.kind {
        ItemKind::File { size, executable: true } => (0o775, size, b'0', &b""[..]),
        ItemKind::File { size, executable: false } => (0o664, size, b'0', &b""[..]),
        ItemKind::Dir => (0o775, 0, b'5', &b""[..]),
        ItemKind::Link(target) => (0o777, 0, b'2', target),
    };
    let mut extended = Vec::new();
    let (prefix, name) = split(item.path);
    let short;
    let name = match name {
        Some(name) => name,
        None => {
            extended.extend(pax("path", item.path));
            short = format!("{}.data", item.id);
            short.as_bytes()
        }
    };
    let long;
    let mut linked = link;
    if link.len() > 100 {
        long = format!("see {}.paxheader", item.id);
        linked = long.as_bytes();
        extended.extend(pax("linkpath", link));
    }
    let mut stated = size;
    if size > MOST {
        stated = 0;
        extended.extend(pax("size", size.to_string().as_bytes()));
    }
    let mut out = Vec::with_capacity(RECORD);
    if !extended.is_empty() {
        let name = format!("{}.paxheader", item.id);
        out.extend(header(name.as_bytes(), &[], &[], 0o666, extended.len() as u64, item.mtime, b'x'));
        append_padded(&mut out, &extended);
    }
    out.extend(header(name, prefix, linked, mode, stated, item.mtime, kind));
    out
}

/// What follows the last entry of an archive of `written` bytes.
pub(super) fn trailer(written: u64) -> Vec<u8> {
    let tail = BLOCK - written % BLOCK;
    let more = if tail < 2 * RECORD as u64 { BLOCK } else { 0 };
    vec![0; usize::try_from(tail + more).unwrap_or(0)]
}

/// The zeros that fill the last record of so many bytes.
pub(super) fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(RECORD as u64) - size).unwrap_or(0)
}

/// The path in the two fields of the header; no name when it does not fit.
fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    if path.len() <= 100 {
        return (&[], Some(path));
    }
    let mut at = path.len();
    if at > 1 && path.get(at - 1) == Some(&b'/') {
        at -= 1;
    }
    at = at.min(155);
    loop {
        at -= 1;
        if at == 0 || path.get(at) == Some(&b'/') {
            break;
        }
    }
    match (path.get(..at), path.get(at + 1..)) {
        (Some(prefix), Some(rest)) if at > 0 && rest.len() <= 100 => (prefix, Some(rest)),
        _ => (&[], None),
    }
}

/// A record of an extended header; it states its own length.
fn pax(key: &str, value: &[u8]) -> Vec<u8> {
    let mut length = 1 + 1 + key.len() + 1 + value.len() + 1;
    let mut power = 1;
    while length / 10 >= power {
        length += 1;
        power *= 10;
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}

fn append_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + padding(bytes.len() as u64), 0);
}

fn header(
    name: &[u8],
    prefix: &[u8],
    link: &[u8],
    mode: u32,
    size: u64,
    mtime: u64,
    kind: u8,
) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    let mut put = |at: usize, bytes: &[u8]| {
        out.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{mtime:011o}").as_bytes());
    put(156, &[kind]);
    put(157, link);
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    put(329, b"0000000");
    put(337, b"0000000");
    put(345, prefix);
    // The sum is over the header with spaces in its own field.
    let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    let mut text = String::with_capacity(7);
    // Writing into a string cannot fail.
    let _ = write!(text, "{sum:07o}");
    out.iter_mut().skip(148).zip(text.as_bytes()).for_each(|(to, from)| *to = *from);
    out
}
