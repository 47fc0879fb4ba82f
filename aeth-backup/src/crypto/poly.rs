//! Poly1305 in numbers of 44 bits, block by block: what is left beside the wide loop of [`ctr_x86`](super::ctr_x86),
//! and the powers of the key that it needs.
//!
//! Source: D. J. Bernstein, *The Poly1305-AES message-authentication code* (2005).

use zeroize::Zeroize;

const M44: u64 = (1 << 44) - 1;
const M42: u64 = (1 << 42) - 1;

/// A number modulo 2^130 - 5, in limbs of 44, 44 and 42 bits that may be a little too large.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Number([u64; 3]);

impl Number {
    /// The part of the key that multiplies, without the bits that Poly1305 wants to be zero.
    pub(super) fn clamped(r: &[u8; 16]) -> Self {
        Self::from_parts(u128::from_le_bytes(*r) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff, 0)
    }

    /// `low + top * 2^128`.
    fn from_parts(low: u128, top: u64) -> Self {
        let (a, b) = (low as u64, (low >> 64) as u64);
        Self([a & M44, (a >> 44 | b << 20) & M44, b >> 24 | top << 40])
    }

    /// From limbs of 26 bits that may be a little too large.
    pub(super) fn from_26(limbs: [u64; 5]) -> Self {
        let [a, b, c, d, e] = limbs.map(u128::from);
        // The first four stay below 2^110, so nothing is lost.
        let low = a + (b << 26) + (c << 52) + (d << 78);
        let (low, carry) = low.overflowing_add(e << 104);
        let top = ((e >> 24) as u64) + u64::from(carry);
        // What is above 2^130 counts five times.
        let mut number = Self::from_parts(low, top & 3);
        number.0[0] += (top >> 2) * 5;
        number
    }

    /// In limbs of 26 bits.
    pub(super) fn to_26(self) -> [u64; 5] {
        let [a, b, c] = self.carried().0;
        const M26: u64 = (1 << 26) - 1;
        [a & M26, (a >> 26 | b << 18) & M26, b >> 8 & M26, (b >> 34 | c << 10) & M26, c >> 16]
    }

    /// Adds a block of a message: 16 bytes and the bit above, or fewer of them with the bit put behind them.
    pub(super) fn add_block(self, block: &[u8; 16], whole: bool) -> Self {
        let [a, b, c] = Self::from_parts(u128::from_le_bytes(*block), u64::from(whole)).0;
        Self([self.0[0] + a, self.0[1] + b, self.0[2] + c])
    }

    pub(super) fn times(self, other: Self) -> Self {
        let [h0, h1, h2] = self.0.map(u128::from);
        let [r0, r1, r2] = other.0.map(u128::from);
        // A step of 132 bits is 2^2 beyond the modulus.
        let (s1, s2) = (r1 * 20, r2 * 20);
        let d0 = h0 * r0 + h1 * s2 + h2 * s1;
        let d1 = h0 * r1 + h1 * r0 + h2 * s2 + (d0 >> 44);
        let d2 = h0 * r2 + h1 * r1 + h2 * r0 + (d1 >> 44);
        let low = (d0 as u64 & M44) + (d2 >> 42) as u64 * 5;
        Self([low & M44, (d1 as u64 & M44) + (low >> 44), d2 as u64 & M42])
    }

    /// Every limb within its bits.
    fn carried(self) -> Self {
        let [mut a, mut b, mut c] = self.0;
        for _ in 0..2 {
            b += a >> 44;
            a &= M44;
            c += b >> 44;
            b &= M44;
            a += (c >> 42) * 5;
            c &= M42;
        }
        b += a >> 44;
        a &= M44;
        Self([a, b, c])
    }

    /// The authentication code: the least such number, and the pad added.
    pub(super) fn tag(self, pad: &[u8; 16]) -> [u8; 16] {
        let [a, b, c] = self.carried().0;
        // Less the modulus, which is taken when it does not borrow; without a branch.
        let d = a + 5;
        let e = b + (d >> 44);
        let f = (c + (e >> 44)).wrapping_sub(1 << 42);
        let mask = (f >> 63).wrapping_sub(1);
        let [a, b, c] = [(a, d & M44), (b, e & M44), (c, f)].map(|(kept, less)| kept & !mask | less & mask);
        let number = u128::from(a) | u128::from(b) << 44 | u128::from(c) << 88;
        number.wrapping_add(u128::from_le_bytes(*pad)).to_le_bytes()
    }
}
