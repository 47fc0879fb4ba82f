//! The scan for a cut, eight windows at a time, or thirty-two where the processor can.

use super::tables::{Tables, WINDOW};
use multiversion::multiversion;

/// Windows that run side by side: enough to hide the latency of the two look-ups of each.
const LANES: usize = 8;
/// Consecutive positions that one lane looks at before the lanes move on together. Filling each window
/// costs 64 steps more, which is 1.6 % here; a smaller stride wastes more on that, a larger one more behind
/// a cut that was found.
const STRIDE: usize = 4096;
/// Bytes that one lane sees.
const SPAN: usize = WINDOW + STRIDE - 1;

/// The smallest `end` in `from..=to` at which the 64 bytes before it make a digest whose bits under `mask`
/// are zero. `from` is at least 64, `to` at most the length of the data.
pub(super) fn find_cut(tables: &Tables, mask: u64, data: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut at = match find_wide(tables, mask, data, from, to) {
        Ok(found) => return Some(found),
        Err(at) => at,
    };
    while at + LANES * STRIDE <= to + 1 {
        if let Some(found) = scan_lanes(tables, mask, data.get(at - WINDOW..at + LANES * STRIDE - 1)?) {
            return Some(at + found);
        }
        at += LANES * STRIDE;
    }
    if at > to {
        return None;
    }
    scan_one(tables, mask, data.get(at - WINDOW..to)?).map(|found| at + found)
}

/// As much of [`find_cut`] as the processor does better: a cut, or from where on none was looked for.
#[multiversion(targets("x86_64+avx2"))]
fn find_wide(tables: &Tables, mask: u64, data: &[u8], from: usize, to: usize) -> Result<usize, usize> {
    multiversion::target::match_target! {
        "x86_64+avx2" => if mask & 31 == 31 {
            super::wide_x86::find_cut(tables, mask, data, from, to)
        } else {
            Err(from)
        },
        _ => {
            let _ = (tables, mask, data, to);
            Err(from)
        }
    }
}

/// One window over the whole of `data`; the offset is that of the end after the first window.
pub(super) fn scan_one(tables: &Tables, mask: u64, data: &[u8]) -> Option<usize> {
    let (first, rest) = data.split_at_checked(WINDOW)?;
    let mut digest = first.iter().fold(0, |digest, byte| tables.push(digest, *byte));
    if digest & mask == 0 {
        return Some(0);
    }
    for (i, (leaving, byte)) in data.iter().zip(rest).enumerate() {
        digest = tables.slide(digest, *leaving, *byte);
        if digest & mask == 0 {
            return Some(i + 1);
        }
    }
    None
}

/// Eight windows over `data`, which has `WINDOW + LANES * STRIDE - 1` bytes: lane `l` looks at the ends
/// `l * STRIDE ..` of them.
fn scan_lanes(tables: &Tables, mask: u64, data: &[u8]) -> Option<usize> {
    // Arrays, so that the compiler knows that no step leaves them.
    let first: &[u8; SPAN] = data.first_chunk()?;
    let mut lanes = [first; LANES];
    for (l, lane) in lanes.iter_mut().enumerate() {
        *lane = data.get(l * STRIDE..)?.first_chunk()?;
    }
    let mut digests = [0; LANES];
    for i in 0..WINDOW {
        for (digest, lane) in digests.iter_mut().zip(lanes) {
            *digest = tables.push(*digest, lane[i]);
        }
    }
    let mut found: Option<usize> = None;
    note(&digests, mask, 0, &mut found);
    for i in 0..STRIDE - 1 {
        let mut any = false;
        for l in 0..LANES {
            let digest = tables.slide(digests[l], lanes[l][i], lanes[l][i + WINDOW]);
            any |= digest & mask == 0;
            digests[l] = digest;
        }
        if any {
            note(&digests, mask, i + 1, &mut found);
        }
    }
    found
}

/// Keeps the earliest cut; the lanes are in the order of their positions, so within one step the first wins,
/// and over the steps the smallest.
#[cold]
fn note(digests: &[u64; LANES], mask: u64, step: usize, found: &mut Option<usize>) {
    for (l, digest) in digests.iter().enumerate() {
        if digest & mask == 0 {
            let end = l * STRIDE + step;
            *found = Some(found.map_or(end, |old| old.min(end)));
        }
    }
}
