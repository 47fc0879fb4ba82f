//! The compression function of SHA-256 by the SHA instructions, for two messages in step.
//!
//! Source: FIPS 180-4, 6.2.2; Intel, *Intel SHA Extensions* (2013): `sha256rnds2` does two rounds on the state as
//! ABEF and CDGH, `sha256msg1` and `sha256msg2` make the message's later words.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_set_epi32, _mm_set_epi64x, _mm_setzero_si128,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
};

/// Words of the round constants by fours, the first in the lowest place.
const ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
    [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
    [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
    [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
    [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
    [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
    [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
    [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
    [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// One message: its state and the sixteen words that the next rounds need.
#[derive(Clone, Copy)]
struct Lane {
    abef: __m128i,
    cdgh: __m128i,
    words: [__m128i; 4],
}

/// Takes `blocks_a` into `a` and equally many `blocks_b` into `b`.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(super) fn compress(a: &mut [u32; 8], b: &mut [u32; 8], blocks_a: &[[u8; 64]], blocks_b: &[[u8; 64]]) {
    let mut lanes = [lane(a), lane(b)];
    for (block_a, block_b) in blocks_a.iter().zip(blocks_b) {
        let before = lanes;
        load(&mut lanes[0], block_a);
        load(&mut lanes[1], block_b);
        // Unrolled by hand, as the words take turns.
        macro_rules! rounds {
            ($($number:literal)*) => { $( four_rounds::<$number>(&mut lanes); )* };
        }
        rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for (lane, before) in lanes.iter_mut().zip(before) {
            lane.abef = _mm_add_epi32(lane.abef, before.abef);
            lane.cdgh = _mm_add_epi32(lane.cdgh, before.cdgh);
        }
    }
    store(a, &lanes[0]);
    store(b, &lanes[1]);
}

#[inline]
#[target_feature(enable = "sse2")]
fn lane(state: &[u32; 8]) -> Lane {
    let [a, b, c, d, e, f, g, h] = *state;
    Lane { abef: vector([f, e, b, a]), cdgh: vector([h, g, d, c]), words: [_mm_setzero_si128(); 4] }
}

#[inline]
fn store(state: &mut [u32; 8], lane: &Lane) {
    let [f, e, b, a]: [u32; 4] = bytemuck::cast(lane.abef);
    let [h, g, d, c]: [u32; 4] = bytemuck::cast(lane.cdgh);
    *state = [a, b, c, d, e, f, g, h];
}

/// The first of the four in the lowest place.
#[inline]
fn vector(words: [u32; 4]) -> __m128i {
    bytemuck::cast(words)
}

#[inline]
#[target_feature(enable = "ssse3")]
fn load(lane: &mut Lane, block: &[u8; 64]) {
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    for (words, bytes) in lane.words.iter_mut().zip(block.as_chunks::<16>().0) {
        *words = _mm_shuffle_epi8(bytemuck::cast(*bytes), big_endian);
    }
}

/// Rounds `4 * NUMBER ..` of both.
#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn four_rounds<const NUMBER: usize>(lanes: &mut [Lane; 2]) {
    let [k0, k1, k2, k3] = const { ROUNDS[NUMBER] }.map(u32::cast_signed);
    let constants = _mm_set_epi32(k3, k2, k1, k0);
    let mut sums = [_mm_setzero_si128(); 2];
    for (lane, sum) in lanes.iter_mut().zip(&mut sums) {
        let words = &mut lane.words;
        if NUMBER >= 4 {
            let third = words[(NUMBER + 3) % 4];
            let middle = _mm_alignr_epi8::<4>(third, words[(NUMBER + 2) % 4]);
            let first = _mm_sha256msg1_epu32(words[NUMBER % 4], words[(NUMBER + 1) % 4]);
            words[NUMBER % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(first, middle), third);
        }
        *sum = _mm_add_epi32(words[NUMBER % 4], constants);
    }
    for (lane, sum) in lanes.iter_mut().zip(sums) {
        lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, sum);
    }
    for (lane, sum) in lanes.iter_mut().zip(sums) {
        lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32::<0x0e>(sum));
    }
}
