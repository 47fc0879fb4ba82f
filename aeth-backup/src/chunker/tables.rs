//! The two tables that make a fingerprint step two look-ups.

use super::Polynomial;

/// Bytes under the window.
pub(super) const WINDOW: usize = 64;
/// From a digest of degree below 53 to its top eight bits.
const SHIFT: u32 = 45;

/// The digest is the window's bytes, read as a polynomial, modulo the repository's polynomial.
pub(super) struct Tables {
    /// What a byte contributes when it is the oldest of the window: take it out by xor.
    out: Box<[u64; 256]>,
    /// What the eight bits above the modulus reduce to, together with those bits themselves.
    modulo: Box<[u64; 256]>,
}

impl Tables {
    pub(super) fn new(polynomial: Polynomial) -> Self {
        let mut out = Box::new([0; 256]);
        let mut modulo = Box::new([0; 256]);
        for (byte, (out, modulo)) in (0_u64..).zip(out.iter_mut().zip(modulo.iter_mut())) {
            let first = polynomial.reduce(byte);
            *out = (1..WINDOW).fold(first, |digest, _| polynomial.reduce(digest << 8));
            let above = byte << (SHIFT + 8);
            *modulo = polynomial.reduce(above) | above;
        }
        Self { out, modulo }
    }

    /// Appends `byte` to a window that is not full.
    #[inline(always)]
    pub(super) fn push(&self, digest: u64, byte: u8) -> u64 {
        // `& 255` tells the compiler what the degree of the digest guarantees.
        ((digest << 8) | u64::from(byte)) ^ self.modulo[usize::try_from(digest >> SHIFT).unwrap_or(0) & 255]
    }

    /// Moves a full window on by one byte.
    #[inline(always)]
    pub(super) fn slide(&self, digest: u64, leaving: u8, byte: u8) -> u64 {
        self.push(digest ^ self.out[usize::from(leaving)], byte)
    }
}
