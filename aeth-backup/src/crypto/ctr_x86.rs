//! AES-256-CTR and Poly1305 in one pass, 128 bytes at a time, by the AES instructions and AVX2.
//!
//! One after the other, the two wait: AES for its rounds, Poly1305 for its carries, both for the cache that the
//! ciphertext goes through in between. Side by side each fills the gaps of the other.
//!
//! Poly1305 runs in four lanes, a block each, on numbers of 26 bits (M. Goll, S. Gueron, *Vectorization of Poly1305
//! message authentication code*, 2015), two blocks a step. AES takes two blocks an instruction where the processor
//! can (VAES).

use super::cipher::GROUP;
use super::poly::Number;
use std::arch::x86_64::{
    __m128i, __m256i, _mm_aesenc_si128, _mm_aesenclast_si128, _mm_aeskeygenassist_si128, _mm_shuffle_epi32,
    _mm_slli_si128, _mm_xor_si128, _mm256_add_epi64, _mm256_aesenc_epi128, _mm256_aesenclast_epi128,
    _mm256_and_si256, _mm256_broadcastsi128_si256, _mm256_mul_epu32, _mm256_or_si256, _mm256_set_epi64x,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi64, _mm256_srli_epi64,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi64, _mm256_xor_si256,
};
use zeroize::Zeroize;

const ROUNDS: usize = 15;
const M26: i64 = (1 << 26) - 1;

/// What does not change from message to message.
#[derive(Clone, Zeroize)]
pub(super) struct Schedule {
    rounds: [[u8; 16]; ROUNDS],
    /// The key's fourth and eighth power by limbs, each limb once and five times.
    fourth: [[u64; 5]; 2],
    eighth: [[u64; 5]; 2],
    /// Limb by limb, the power that each lane is multiplied with in the end.
    last: [[[u64; 4]; 5]; 2],
    pub(super) r: Number,
}

impl Schedule {
    #[target_feature(enable = "aes,sse2")]
    pub(super) fn new(encrypt: &[u8; 32], mac_r: &[u8; 16]) -> Self {
        let r = Number::clamped(mac_r);
        let second = r.times(r);
        let third = second.times(r);
        let fourth = second.times(second);
        let both = |limbs: [u64; 5]| [limbs, limbs.map(|limb| limb * 5)];
        // As the blocks lie in the lanes after they were unpacked: 0, 2, 1, 3.
        let powers = [fourth, second, third, r].map(Number::to_26);
        let mut last = [[[0; 4]; 5]; 2];
        for (times, limbs) in [1, 5].into_iter().zip(&mut last) {
            for (place, limb) in limbs.iter_mut().enumerate() {
                *limb = powers.map(|power| power[place] * times);
            }
        }
        Self {
            rounds: expand(encrypt),
            fourth: both(fourth.to_26()),
            eighth: both(fourth.times(fourth).to_26()),
            last,
            r,
        }
    }
}

/// A message under way.
#[derive(Clone)]
pub(super) struct State {
    /// The number of the next block.
    counter: u128,
    lanes: [[u64; 4]; 5],
}

impl State {
    pub(super) fn new(iv: &[u8; 16]) -> Self {
        Self { counter: u128::from_be_bytes(*iv), lanes: [[0; 4]; 5] }
    }

    /// What Poly1305 has made of the groups so far.
    #[target_feature(enable = "avx2")]
    pub(super) fn number(&self, schedule: &Schedule) -> Number {
        let [once, fivefold] = schedule.last.map(|limbs| limbs.map(cast));
        let lanes = multiply(self.lanes.map(cast), &once, &fivefold);
        let lanes = carry(lanes).map(bytemuck::cast::<_, [u64; 4]>);
        Number::from_26(lanes.map(|limb| limb.iter().sum()))
    }
}

macro_rules! kernels {
    ($features:literal, $name:ident, $encrypt:path) => {
        /// En- or decrypts whole groups of `from` to `to`, and takes the ciphertext into the code.
        #[target_feature(enable = $features)]
        pub(super) fn $name<const SEALS: bool>(
            schedule: &Schedule,
            state: &mut State,
            from: &[[u8; GROUP]],
            to: &mut [[u8; GROUP]],
        ) {
            let eighth = schedule.eighth.map(|limbs| limbs.map(|limb| all(limb)));
            let fourth = schedule.fourth.map(|limbs| limbs.map(|limb| all(limb)));
            let mut lanes = state.lanes.map(cast);
            let mut counter = state.counter;
            let mut crypt = |from: &[u8; GROUP], to: &mut [u8; GROUP]| {
                let mut after = $encrypt(&schedule.rounds, counter);
                counter = counter.wrapping_add(8);
                let before: [__m256i; 4] = bytemuck::cast(*from);
                for (after, before) in after.iter_mut().zip(before) {
                    *after = _mm256_xor_si256(*after, before);
                }
                *to = bytemuck::cast(after);
                if SEALS { after } else { before }
            };
            let mut groups = from.iter().zip(to);
            if let Some((from, to)) = groups.next() {
                // One behind, so that the code never waits for the cipher.
                let mut sealed = crypt(from, to);
                for (from, to) in groups {
                    let next = crypt(from, to);
                    lanes = absorb(lanes, sealed, &eighth, &fourth);
                    sealed = next;
                }
                lanes = absorb(lanes, sealed, &eighth, &fourth);
            }
            state.counter = counter;
            state.lanes = lanes.map(bytemuck::cast);
        }
    };
}

kernels!("avx2,aes,vaes", run_vaes, encrypt_vaes);
kernels!("avx2,aes", run_aes, encrypt_aes);

/// The next bytes of the cipher.
#[target_feature(enable = "avx2,aes")]
pub(super) fn keystream(schedule: &Schedule, state: &State) -> [u8; GROUP] {
    bytemuck::cast(encrypt_aes(&schedule.rounds, state.counter))
}

/// Eight counters, encrypted.
#[inline]
#[target_feature(enable = "avx2,aes,vaes")]
fn encrypt_vaes(rounds: &[[u8; 16]; ROUNDS], counter: u128) -> [__m256i; 4] {
    let mut blocks = counters(counter);
    let [first, middle @ .., last] = rounds;
    let wide = |key: &[u8; 16]| _mm256_broadcastsi128_si256(bytemuck::cast(*key));
    blocks.iter_mut().for_each(|block| *block = _mm256_xor_si256(*block, wide(first)));
    for key in middle {
        blocks.iter_mut().for_each(|block| *block = _mm256_aesenc_epi128(*block, wide(key)));
    }
    blocks.iter_mut().for_each(|block| *block = _mm256_aesenclast_epi128(*block, wide(last)));
    blocks
}

#[inline]
#[target_feature(enable = "avx2,aes")]
fn encrypt_aes(rounds: &[[u8; 16]; ROUNDS], counter: u128) -> [__m256i; 4] {
    let mut blocks: [__m128i; 8] = bytemuck::cast(counters(counter));
    let [first, middle @ .., last] = rounds;
    blocks.iter_mut().for_each(|block| *block = _mm_xor_si128(*block, bytemuck::cast(*first)));
    for key in middle {
        blocks.iter_mut().for_each(|block| *block = _mm_aesenc_si128(*block, bytemuck::cast(*key)));
    }
    blocks.iter_mut().for_each(|block| *block = _mm_aesenclast_si128(*block, bytemuck::cast(*last)));
    bytemuck::cast(blocks)
}

/// Eight counters from `first` on.
#[inline]
#[target_feature(enable = "avx2")]
fn counters(first: u128) -> [__m256i; 4] {
    let [low, high] = bytemuck::cast::<[u8; 16], [i64; 2]>(first.to_le_bytes());
    if low.cast_unsigned() > u64::MAX - 8 {
        // Once in 2^61 steps.
        let mut number = 0;
        let counters = [(); 8].map(|()| {
            number += 1;
            first.wrapping_add(number - 1).to_be_bytes()
        });
        return bytemuck::cast(counters);
    }
    let base = _mm256_set_epi64x(high, low, high, low);
    let reversed = _mm256_set_epi64x(
        0x0001_0203_0405_0607,
        0x0809_0a0b_0c0d_0e0f,
        0x0001_0203_0405_0607,
        0x0809_0a0b_0c0d_0e0f,
    );
    [0, 2, 4, 6].map(|number| {
        let counters = _mm256_add_epi64(base, _mm256_set_epi64x(0, number + 1, 0, number));
        _mm256_shuffle_epi8(counters, reversed)
    })
}

/// AES-256's round keys. Source: FIPS 197, 5.2.
#[target_feature(enable = "aes,sse2")]
fn expand(key: &[u8; 32]) -> [[u8; 16]; ROUNDS] {
    let [mut even, mut odd]: [__m128i; 2] = bytemuck::cast(*key);
    let mut keys = [[0; 16]; ROUNDS];
    keys[0] = bytemuck::cast(even);
    keys[1] = bytemuck::cast(odd);
    macro_rules! next {
        ($($number:literal $constant:literal)*) => { $(
            even = mix(even, _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<$constant>(odd)));
            keys[$number] = bytemuck::cast(even);
            odd = mix(odd, _mm_shuffle_epi32::<0xaa>(_mm_aeskeygenassist_si128::<0>(even)));
            keys[$number + 1] = bytemuck::cast(odd);
        )* };
    }
    next!(2 0x01 4 0x02 6 0x04 8 0x08 10 0x10 12 0x20);
    keys[14] = bytemuck::cast(mix(even, _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<0x40>(odd))));
    keys
}

/// Each word with all before it, and with the new one.
#[inline]
#[target_feature(enable = "sse2")]
fn mix(words: __m128i, word: __m128i) -> __m128i {
    let words = _mm_xor_si128(words, _mm_slli_si128::<4>(words));
    let words = _mm_xor_si128(words, _mm_slli_si128::<8>(words));
    _mm_xor_si128(words, word)
}

#[inline]
fn cast(limb: [u64; 4]) -> __m256i {
    bytemuck::cast(limb)
}

#[inline]
#[target_feature(enable = "avx2")]
fn all(limb: u64) -> __m256i {
    _mm256_set1_epi64x(limb.cast_signed())
}

/// Four blocks, by limbs of 26 bits, with the bit above each.
#[inline]
#[target_feature(enable = "avx2")]
fn limbs(first: __m256i, second: __m256i) -> [__m256i; 5] {
    let mask = _mm256_set1_epi64x(M26);
    let (low, high) = (_mm256_unpacklo_epi64(first, second), _mm256_unpackhi_epi64(first, second));
    let middle = _mm256_or_si256(_mm256_srli_epi64::<52>(low), _mm256_slli_epi64::<12>(high));
    [
        _mm256_and_si256(low, mask),
        _mm256_and_si256(_mm256_srli_epi64::<26>(low), mask),
        _mm256_and_si256(middle, mask),
        _mm256_and_si256(_mm256_srli_epi64::<14>(high), mask),
        _mm256_or_si256(_mm256_srli_epi64::<40>(high), _mm256_set1_epi64x(1 << 24)),
    ]
}

/// Eight blocks: `lanes` times the eighth power, the first four times the fourth, and the others.
#[inline]
#[target_feature(enable = "avx2")]
fn absorb(
    lanes: [__m256i; 5],
    sealed: [__m256i; 4],
    eighth: &[[__m256i; 5]; 2],
    fourth: &[[__m256i; 5]; 2],
) -> [__m256i; 5] {
    let (first, second) = (limbs(sealed[0], sealed[1]), limbs(sealed[2], sealed[3]));
    let mut sum = second;
    for (sum, product) in sum.iter_mut().zip(multiply(first, &fourth[0], &fourth[1])) {
        *sum = _mm256_add_epi64(*sum, product);
    }
    for (sum, product) in sum.iter_mut().zip(multiply(lanes, &eighth[0], &eighth[1])) {
        *sum = _mm256_add_epi64(*sum, product);
    }
    carry(sum)
}

/// Products of four numbers, not carried: each limb below 2^60 when those of `a` are below 2^28.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply(a: [__m256i; 5], once: &[__m256i; 5], fivefold: &[__m256i; 5]) -> [__m256i; 5] {
    let mut out = [_mm256_setzero_si256(); 5];
    for (place, out) in out.iter_mut().enumerate() {
        for (i, limb) in a.iter().enumerate() {
            // 26 bits five times are the modulus's 130; what is above counts five times.
            let other = if i <= place { once[place - i] } else { fivefold[5 + place - i] };
            *out = _mm256_add_epi64(*out, _mm256_mul_epu32(*limb, other));
        }
    }
    out
}

/// Limbs of 26 bits again, and a little more.
#[inline]
#[target_feature(enable = "avx2")]
fn carry(mut limbs: [__m256i; 5]) -> [__m256i; 5] {
    let mask = _mm256_set1_epi64x(M26);
    for (from, to) in [(3, 4), (0, 1), (4, 0), (1, 2), (2, 3), (0, 1), (3, 4)] {
        let over = _mm256_srli_epi64::<26>(limbs[from]);
        limbs[from] = _mm256_and_si256(limbs[from], mask);
        let over = if from == 4 { _mm256_add_epi64(over, _mm256_slli_epi64::<2>(over)) } else { over };
        limbs[to] = _mm256_add_epi64(limbs[to], over);
    }
    limbs
}
