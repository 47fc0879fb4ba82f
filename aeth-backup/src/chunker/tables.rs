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
    /// The same, for [`wide_x86`](super::wide_x86).
    #[cfg(target_arch = "x86_64")]
    pub(super) nibbles: Box<Nibbles>,
}

/// What a byte's two nibbles contribute each, byte by byte of a digest that lies three bits up. Each table stands
/// twice in a row, as the shuffles of both halves of a register look it up.
#[cfg(target_arch = "x86_64")]
pub(super) struct Nibbles {
    /// Of the byte that leaves the window as another comes.
    pub(super) out: [[[u8; 32]; 2]; 7],
    /// Of the highest byte of the digest.
    pub(super) modulo: [[[u8; 32]; 2]; 7],
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
        #[cfg(target_arch = "x86_64")]
        let nibbles = Box::new(Nibbles {
            out: by_nibbles(|byte| polynomial.reduce(out[byte] << 8)),
            modulo: by_nibbles(|byte| modulo[byte]),
        });
        Self {
            out,
            modulo,
            #[cfg(target_arch = "x86_64")]
            nibbles,
        }
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

#[cfg(target_arch = "x86_64")]
fn by_nibbles(value: impl Fn(usize) -> u64) -> [[[u8; 32]; 2]; 7] {
    let mut tables = [[[0; 32]; 2]; 7];
    for (place, table) in tables.iter_mut().enumerate() {
        for (shift, half) in [0, 4].into_iter().zip(table) {
            for (nibble, entry) in half.iter_mut().enumerate() {
                *entry = (value((nibble % 16) << shift) << 3).to_le_bytes()[place];
            }
        }
    }
    tables
}
