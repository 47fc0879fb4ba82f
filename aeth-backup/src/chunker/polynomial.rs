//! Polynomials over GF(2), of degree 53 at most.

use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};

const DEGREE: u32 = 53;
/// One number in about 53/2 of the odd ones is irreducible; this many misses in a row do not happen.
const TRIES: usize = 100_000;

/// The polynomial of a repository: bit `i` is the coefficient of `x^i`. Hexadecimal in the config file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Polynomial(u64);

impl Polynomial {
    /// A random irreducible polynomial of degree 53.
    pub(crate) fn random() -> Result<Self> {
        for _ in 0..TRIES {
            let mut bytes = [0; 8];
            crate::crypto::random(&mut bytes)?;
            let bits = u64::from_le_bytes(bytes) & ((1 << (DEGREE + 1)) - 1);
            let candidate = Self(bits | (1 << DEGREE) | 1);
            if candidate.is_irreducible() {
                return Ok(candidate);
            }
        }
        Err(Error::unavailable("no irreducible polynomial was found: the system's randomness is broken"))
    }

    #[cfg(test)]
    pub(crate) const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The only degree that the fingerprint tables are made for.
    pub(crate) fn is_supported(self) -> bool {
        self.0 >> DEGREE == 1
    }

    /// Ben-Or's test: no common divisor with `x^(2^i) - x` for `i` up to half the degree.
    pub(crate) fn is_irreducible(self) -> bool {
        if self.0 < 2 {
            return false;
        }
        let mut power = 2;
        (1..=degree(self.0) / 2).all(|_| {
            power = multiply(power, power, self.0);
            gcd(self.0, power ^ 2) == 1
        })
    }

    /// `value mod self`, `value` of any degree.
    pub(crate) fn reduce(self, value: u64) -> u64 {
        reduce(value, self.0)
    }
}

impl std::fmt::Debug for Polynomial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Polynomial({:x})", self.0)
    }
}

impl TryFrom<String> for Polynomial {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl From<Polynomial> for String {
    fn from(polynomial: Polynomial) -> Self {
        format!("{:x}", polynomial.0)
    }
}

fn degree(value: u64) -> u32 {
    63 - (value | 1).leading_zeros()
}

fn reduce(mut value: u64, modulus: u64) -> u64 {
    while value != 0 && degree(value) >= degree(modulus) && value >= 1 << degree(modulus) {
        value ^= modulus << (degree(value) - degree(modulus));
    }
    value
}

/// `a · b mod modulus`, both of a lower degree than the modulus, which is at most 62.
fn multiply(a: u64, b: u64, modulus: u64) -> u64 {
    let top = 1 << degree(modulus);
    let mut result = 0;
    for bit in (0..=degree(b)).rev() {
        result <<= 1;
        if result & top != 0 {
            result ^= modulus;
        }
        if b >> bit & 1 == 1 {
            result ^= a;
        }
    }
    result
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, reduce(a, b));
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn irreducibility_agrees_with_trial_division() {
        for bits in 2_u64..2048 {
            let prime =
                (2..bits).take_while(|d| degree(*d) <= degree(bits) / 2).all(|d| reduce(bits, d) != 0);
            assert_eq!(Polynomial(bits).is_irreducible(), prime, "{bits:b}");
        }
    }

    #[test]
    fn random_ones_are_of_the_right_kind() {
        let polynomial = Polynomial::random().unwrap();
        assert!(polynomial.is_supported() && polynomial.is_irreducible());
        // One that restic's own tests use.
        assert!(Polynomial(0x003D_A335_8B4D_C173).is_irreducible());
        assert!(!Polynomial(0x003D_A335_8B4D_C173 ^ 2).is_irreducible());
        let text = serde_json::to_string(&Polynomial(0x003D_A335_8B4D_C173)).unwrap();
        assert_eq!(text, "\"3da3358b4dc173\"");
    }
}
