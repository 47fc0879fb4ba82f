//! The scan for a cut, thirty-two windows at a time, by the shuffles of AVX2.
//!
//! A step of the digest is two look-ups by a byte. Look-ups are linear here: what a byte stands for is the sum of what
//! its two nibbles stand for, and a nibble's sixteen values, one byte of each, fit into the register that a shuffle
//! looks thirty-two nibbles up in. So the windows lie across the registers: one register holds the lowest byte of all
//! thirty-two digests, the next the byte above, and moving a digest up by a byte is naming the registers anew.

use super::lanes::scan_one;
use super::tables::{Nibbles, Tables, WINDOW};
use std::arch::x86_64::{
    __m256i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set_m128i,
    _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi16, _mm256_srli_epi16,
    _mm256_unpackhi_epi8, _mm256_unpacklo_epi8, _mm256_xor_si256,
};

/// Windows that run side by side.
const LANES: usize = 32;
/// Bytes that are taken from every lane at once.
const BLOCK: usize = 16;
/// A lane looks at this many positions at most: filling its window costs 64 steps more. An odd number of cache lines
/// apart, the lanes do not drive each other out of the cache.
const STRIDE: usize = 33 * 64 + 1;
/// With fewer positions, filling the windows is most of the work.
const LEAST: usize = LANES * 2 * BLOCK;
/// The window leaves a block of bytes so many blocks after it took it in.
const DELAY: usize = WINDOW / BLOCK;

/// The smallest `end` in `from..=to` at which the window before it has a digest that is zero under `mask`, whose
/// lowest five bits are set. `Err(end)` says that there is none before `end`, and that what is left is too little.
#[target_feature(enable = "avx2")]
pub(super) fn find_cut(
    tables: &Tables,
    mask: u64,
    data: &[u8],
    from: usize,
    to: usize,
) -> Result<usize, usize> {
    let mut at = from;
    while at + LEAST <= to + 1 {
        let positions = (to + 1 - at).min(LANES * STRIDE);
        // Whole blocks with the window that comes before them; the last lanes overlap where it does not come out even.
        let stride = (positions.div_ceil(LANES) - 1).next_multiple_of(BLOCK) + 1;
        let starts: [usize; LANES] = std::array::from_fn(|lane| (lane * stride).min(positions - stride));
        let Some(part) = data.get(at - WINDOW..at + positions - 1) else { return Err(at) };
        if let Some(found) = scan(tables, mask, part, &starts, stride) {
            return Ok(at + found);
        }
        at += positions;
    }
    Err(at)
}

/// Lane `l` looks at the `stride` ends from `starts[l] + WINDOW` on; the offset is that of the end after the first
/// window.
#[target_feature(enable = "avx2")]
fn scan(tables: &Tables, mask: u64, data: &[u8], starts: &[usize; LANES], stride: usize) -> Option<usize> {
    let nibbles = &tables.nibbles;
    let [_, middle, high, ..] = (mask << 3).to_le_bytes();
    let masks = [middle, high].map(|byte| _mm256_set1_epi8(byte.cast_signed()));
    let mut state = [_mm256_setzero_si256(); 7];
    // What the window holds, and what comes next: both are read while it moves on, and copying either would cost as
    // much as a look-up.
    let mut window = [[_mm256_setzero_si256(); BLOCK]; DELAY + 1];
    let mut found: Option<usize> = None;
    for block in 0..DELAY + stride / BLOCK {
        load(data, starts, block * BLOCK, &mut window[block % (DELAY + 1)])?;
        let (new, old) = (&window[block % (DELAY + 1)], &window[(block + 1) % (DELAY + 1)]);
        let hits = if block < DELAY {
            for byte in new {
                push(nibbles, &mut state, *byte, None);
            }
            // The first window is full at the last of these.
            if block + 1 < DELAY { _mm256_setzero_si256() } else { zeroes(masks, &state) }
        } else {
            let mut hits = _mm256_setzero_si256();
            for (leaving, byte) in old.iter().zip(new) {
                push(nibbles, &mut state, *byte, Some(*leaving));
                hits = _mm256_or_si256(hits, zeroes(masks, &state));
            }
            hits
        };
        let hits = _mm256_movemask_epi8(hits).cast_unsigned();
        if hits != 0 {
            // One of sixteen ends: which one, the look at them one by one tells.
            let first = (block * BLOCK + 1).saturating_sub(WINDOW);
            let last = (block + 1) * BLOCK - WINDOW;
            for (lane, start) in starts.iter().enumerate() {
                if hits >> lane & 1 == 1 && found.is_none_or(|found| start + first < found) {
                    let ends = data.get(start + first..start + last + WINDOW)?;
                    let end = scan_one(tables, mask, ends).map(|end| start + first + end);
                    found = [found, end].into_iter().flatten().min();
                }
            }
            if found.is_some_and(|found| found <= last + 1) {
                break;
            }
        }
    }
    found
}

/// Moves the digests of all lanes on by a byte.
#[inline]
#[target_feature(enable = "avx2")]
fn push(tables: &Nibbles, state: &mut [__m256i; 7], byte: __m256i, leaving: Option<__m256i>) {
    let low = _mm256_set1_epi8(0x0f);
    let nibbles =
        |bytes| [_mm256_and_si256(bytes, low), _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low)];
    let top = nibbles(state[6]);
    let mut next = [
        // The digests lie three bits up, so that their highest byte is a byte.
        _mm256_and_si256(_mm256_slli_epi16::<3>(byte), _mm256_set1_epi8(-8)),
        _mm256_xor_si256(state[0], _mm256_and_si256(_mm256_srli_epi16::<5>(byte), _mm256_set1_epi8(7))),
        state[1],
        state[2],
        state[3],
        state[4],
        state[5],
    ];
    if let Some(leaving) = leaving {
        add(&mut next, &tables.out, nibbles(leaving));
    }
    add(&mut next, &tables.modulo, top);
    *state = next;
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(state: &mut [__m256i; 7], table: &[[[u8; 32]; 2]; 7], nibbles: [__m256i; 2]) {
    for (byte, [low, high]) in state.iter_mut().zip(table) {
        let low = _mm256_shuffle_epi8(bytemuck::cast(*low), nibbles[0]);
        let high = _mm256_shuffle_epi8(bytemuck::cast(*high), nibbles[1]);
        *byte = _mm256_xor_si256(*byte, _mm256_xor_si256(low, high));
    }
}

/// Ones in the lanes whose digest is zero under the two bytes of the mask and in the low byte.
#[inline]
#[target_feature(enable = "avx2")]
fn zeroes(masks: [__m256i; 2], state: &[__m256i; 7]) -> __m256i {
    let (middle, high) = (_mm256_and_si256(state[1], masks[0]), _mm256_and_si256(state[2], masks[1]));
    let any = _mm256_or_si256(state[0], _mm256_or_si256(middle, high));
    _mm256_cmpeq_epi8(any, _mm256_setzero_si256())
}

/// Sixteen bytes of each lane from `at` on, turned: one register for each place, one byte of it for each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn load(data: &[u8], starts: &[usize; LANES], at: usize, turned: &mut [__m256i; BLOCK]) -> Option<()> {
    let mut rows = [_mm256_setzero_si256(); BLOCK];
    let (first, second) = starts.split_at(BLOCK);
    for (row, (low, high)) in rows.iter_mut().zip(first.iter().zip(second)) {
        let low: &[u8; BLOCK] = data.get(low + at..)?.first_chunk()?;
        let high: &[u8; BLOCK] = data.get(high + at..)?.first_chunk()?;
        *row = _mm256_set_m128i(bytemuck::cast(*high), bytemuck::cast(*low));
    }
    // Each round takes the highest bit of a byte's row to the lowest of its column; after four, rows are columns.
    for _ in 0..3 {
        rows = std::array::from_fn(|row| interleaved(&rows, row));
    }
    for (row, turned) in turned.iter_mut().enumerate() {
        *turned = interleaved(&rows, row);
    }
    Some(())
}

#[inline]
#[target_feature(enable = "avx2")]
fn interleaved(rows: &[__m256i; BLOCK], row: usize) -> __m256i {
    let (a, b) = (rows[row / 2], rows[row / 2 + BLOCK / 2]);
    if row.is_multiple_of(2) { _mm256_unpacklo_epi8(a, b) } else { _mm256_unpackhi_epi8(a, b) }
}
