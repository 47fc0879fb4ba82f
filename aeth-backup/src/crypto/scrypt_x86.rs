//! scrypt's memory-hard part for two of its lanes at once, by AVX2.
//!
//! A lane waits for itself: each of its steps needs the one before. Two lanes, which know nothing of each other, fit
//! into one register side by side and take the time of one.
//!
//! Source: RFC 7914, sections 3 to 5; the words of a block lie by the diagonals of Salsa20's square, so that a round
//! works on whole registers.

use std::arch::x86_64::{
    __m128i, __m256i, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_or_si256,
    _mm256_set_m128i, _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_slli_epi32, _mm256_srli_epi32,
    _mm256_xor_si256,
};

/// Where the words of a block lie.
const DIAGONALS: [usize; 16] = [0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11];

/// Four registers hold a block of either lane.
type Block = [__m256i; 4];
/// A block of one lane, in memory.
type Stored = [[u8; 16]; 4];

/// All states that the two lanes went through.
#[derive(Default)]
pub(super) struct Kept([Vec<Stored>; 2]);

/// Mixes both lanes, which are equally long, `2^log_n` times. `kept` is memory for it, to be used again.
#[target_feature(enable = "avx2")]
pub(super) fn mix(first: &mut [u8], second: &mut [u8], log_n: u8, kept: &mut Kept) {
    let (firsts, seconds) = (first.as_chunks_mut::<64>().0, second.as_chunks_mut::<64>().0);
    let mut state: Vec<Block> = firsts
        .iter()
        .zip(seconds.iter())
        .map(|(first, second)| both(by_diagonals(first), by_diagonals(second)))
        .collect();
    if state.is_empty() {
        return;
    }
    let mut mixed = state.clone();
    let (length, count) = (state.len(), 1 << log_n);
    let [kept_first, kept_second] = &mut kept.0;
    for lane in [&mut *kept_first, &mut *kept_second] {
        if lane.len() != length * count {
            *lane = vec![[[0; 16]; 4]; length * count];
        }
    }
    for (first, second) in kept_first.chunks_exact_mut(length).zip(kept_second.chunks_exact_mut(length)) {
        for ((block, first), second) in state.iter().zip(first).zip(second) {
            (*first, *second) = apart(block);
        }
        mix_blocks(&state, &mut mixed);
        std::mem::swap(&mut state, &mut mixed);
    }
    for _ in 0..count {
        let Some(last) = state.last() else { return };
        let (first, second) = apart(last);
        let at = |lane: &Stored| {
            (usize::from(lane[0][0])
                | usize::from(lane[0][1]) << 8
                | usize::from(lane[0][2]) << 16
                | usize::from(lane[0][3]) << 24)
                % count
                * length
        };
        let (first, second) = (kept_first.get(at(&first)..), kept_second.get(at(&second)..));
        let (Some(first), Some(second)) = (first, second) else { return };
        for ((block, first), second) in state.iter_mut().zip(first).zip(second) {
            for (word, kept) in block.iter_mut().zip(both(*first, *second)) {
                *word = _mm256_xor_si256(*word, kept);
            }
        }
        mix_blocks(&state, &mut mixed);
        std::mem::swap(&mut state, &mut mixed);
    }
    for ((block, first), second) in state.iter().zip(firsts).zip(seconds) {
        let (one, two) = apart(block);
        (*first, *second) = (in_order(&one), in_order(&two));
    }
}

/// BlockMix with Salsa20/8.
#[target_feature(enable = "avx2")]
fn mix_blocks(from: &[Block], to: &mut [Block]) {
    let Some(last) = from.last() else { return };
    let [mut a, mut b, mut c, mut d] = *last;
    for (number, block) in from.iter().enumerate() {
        a = _mm256_xor_si256(a, block[0]);
        b = _mm256_xor_si256(b, block[1]);
        c = _mm256_xor_si256(c, block[2]);
        d = _mm256_xor_si256(d, block[3]);
        let before = [a, b, c, d];
        for _ in 0..8 {
            b = _mm256_xor_si256(b, rotated::<7, 25>(_mm256_add_epi32(a, d)));
            c = _mm256_xor_si256(c, rotated::<9, 23>(_mm256_add_epi32(b, a)));
            d = _mm256_xor_si256(d, rotated::<13, 19>(_mm256_add_epi32(c, b)));
            a = _mm256_xor_si256(a, rotated::<18, 14>(_mm256_add_epi32(d, c)));
            // From the columns to the rows, and back.
            let turned = _mm256_shuffle_epi32::<0b0011_1001>(d);
            c = _mm256_shuffle_epi32::<0b0100_1110>(c);
            d = _mm256_shuffle_epi32::<0b1001_0011>(b);
            b = turned;
        }
        a = _mm256_add_epi32(a, before[0]);
        b = _mm256_add_epi32(b, before[1]);
        c = _mm256_add_epi32(c, before[2]);
        d = _mm256_add_epi32(d, before[3]);
        // The even ones go to the front, the odd ones behind them.
        let place = number / 2 + if number % 2 == 0 { 0 } else { from.len() / 2 };
        if let Some(to) = to.get_mut(place) {
            *to = [a, b, c, d];
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn rotated<const LEFT: i32, const RIGHT: i32>(words: __m256i) -> __m256i {
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(words), _mm256_srli_epi32::<RIGHT>(words))
}

#[inline]
#[target_feature(enable = "avx2")]
fn both(first: Stored, second: Stored) -> Block {
    let mut block = [_mm256_setzero_si256(); 4];
    for (word, (first, second)) in block.iter_mut().zip(first.into_iter().zip(second)) {
        *word = _mm256_set_m128i(bytemuck::cast(second), bytemuck::cast(first));
    }
    block
}

#[inline]
#[target_feature(enable = "avx2")]
fn apart(block: &Block) -> (Stored, Stored) {
    let mut lanes = ([[0; 16]; 4], [[0; 16]; 4]);
    for ((word, first), second) in block.iter().zip(&mut lanes.0).zip(&mut lanes.1) {
        let (low, high): (__m128i, __m128i) =
            (_mm256_castsi256_si128(*word), _mm256_extracti128_si256::<1>(*word));
        (*first, *second) = (bytemuck::cast(low), bytemuck::cast(high));
    }
    lanes
}

fn by_diagonals(block: &[u8; 64]) -> Stored {
    let words: [[u8; 4]; 16] = bytemuck::cast(*block);
    bytemuck::cast(DIAGONALS.map(|place| words[place]))
}

fn in_order(stored: &Stored) -> [u8; 64] {
    let words: [[u8; 4]; 16] = bytemuck::cast(*stored);
    let mut block = [[0; 4]; 16];
    for (word, place) in words.into_iter().zip(DIAGONALS) {
        block[place] = word;
    }
    bytemuck::cast(block)
}
