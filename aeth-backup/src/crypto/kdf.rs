//! scrypt: from a password to a key.

use super::key::Key;
#[cfg(target_arch = "x86_64")]
use super::scrypt_x86::Kept;
use aeth_core::{Clock, Error, Result};
use multiversion::multiversion;
use std::time::Duration;
use zeroize::Zeroizing;

/// The cost of deriving a key from a password by scrypt (RFC 7914).
///
/// Memory is `128 · N · r` bytes while a key is derived, or twice that; time grows with `N · r · p`. The cost is written
/// into each key file, so a repository opens with whatever its keys were made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfParams {
    log_n: u8,
    r: u32,
    p: u32,
}

impl KdfParams {
    /// `N = 2^15`, `r = 8`, `p = 5`: 32 MiB and about half a second, what restic's calibration gives on a
    /// common machine.
    pub const DEFAULT: Self = Self { log_n: 15, r: 8, p: 5 };

    /// The bounds on what a key file may ask for: more than 2 GiB of memory is taken for an attack.
    const MAX_MEMORY: u64 = 2 << 30;
    /// Lanes of more than 64 MiB are derived one after the other: two would double what is much already.
    const LANE: usize = 64 << 20;
    const TARGET: Duration = Duration::from_millis(500);

    /// `N = 2^log_n`, block size `r`, parallelism `p`.
    ///
    /// # Errors
    /// [`Invalid`](aeth_core::ErrorKind::Invalid) when scrypt does not allow the combination, or it needs
    /// more than 2 GiB.
    pub fn new(log_n: u8, r: u32, p: u32) -> Result<Self> {
        let memory = 1_u64.checked_shl(u32::from(log_n)).and_then(|n| n.checked_mul(128 * u64::from(r)));
        if log_n >= 64 || memory.is_none_or(|memory| memory > Self::MAX_MEMORY) || p > 1 << 16 {
            return Err(Error::invalid("these scrypt parameters need more than 2 GiB or too many rounds"));
        }
        scrypt::Params::new(log_n, r, p)
            .map_err(|error| Error::invalid("scrypt does not allow these parameters").with_source(error))?;
        Ok(Self { log_n, r, p })
    }

    /// Measures this machine and chooses `p` so that one derivation takes about half a second, as restic
    /// does (`N` and `r` stay at the default, so that 32 MiB are enough everywhere).
    ///
    /// # Errors
    /// As [`KdfParams::new`].
    pub fn calibrate(clock: &dyn Clock) -> Result<Self> {
        let once = Self { p: 1, ..Self::DEFAULT };
        let started = clock.monotonic();
        once.derive(b"calibration", &[0; 64])?;
        let took = clock.monotonic().saturating_sub(started).max(Duration::from_millis(1));
        let rounds = Self::TARGET.as_millis() / took.as_millis().max(1);
        Self::new(once.log_n, once.r, u32::try_from(rounds.clamp(1, 64)).unwrap_or(1))
    }

    pub(crate) fn from_numbers(n: u64, r: u32, p: u32) -> Result<Self> {
        if !n.is_power_of_two() {
            return Err(Error::corrupt("the key file's scrypt N is not a power of two"));
        }
        Self::new(u8::try_from(n.ilog2()).unwrap_or(u8::MAX), r, p)
    }

    pub(crate) fn numbers(self) -> (u64, u32, u32) {
        (1 << self.log_n, self.r, self.p)
    }

    pub(crate) fn derive(self, password: &[u8], salt: &[u8]) -> Result<Key> {
        let params = scrypt::Params::new(self.log_n, self.r, self.p)
            .map_err(|error| Error::invalid("scrypt does not allow these parameters").with_source(error))?;
        let mut bytes = Zeroizing::new([0; 64]);
        if !self.by_twos(password, salt, &mut bytes) {
            scrypt::scrypt(password, salt, &params, &mut *bytes)
                .map_err(|error| Error::other("scrypt failed").with_source(error))?;
        }
        Ok(Key::from_bytes(&bytes))
    }

    /// The same with two lanes at a time, which takes twice the memory and half of the time; false, and nothing is
    /// done, where that gains nothing.
    fn by_twos(self, password: &[u8], salt: &[u8], out: &mut [u8; 64]) -> bool {
        let lane = usize::try_from(u64::from(self.r) * 128).unwrap_or(usize::MAX);
        let affordable = lane.checked_shl(u32::from(self.log_n)).is_some_and(|bytes| bytes <= Self::LANE);
        let mut kept = Kept::default();
        if self.p < 2 || !affordable || !mix_two(&mut [], &mut [], 0, &mut kept) {
            return false;
        }
        let lanes = usize::try_from(self.p).unwrap_or(0);
        let mut blocks = Zeroizing::new(vec![0; lanes * lane]);
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password, salt, 1, &mut blocks);
        for lanes in blocks.chunks_mut(2 * lane) {
            let (first, second) = lanes.split_at_mut(lane);
            if second.is_empty() {
                // The last of an odd number runs beside itself.
                mix_two(first, &mut Zeroizing::new(first.to_vec()), self.log_n, &mut kept);
            } else {
                mix_two(first, second, self.log_n, &mut kept);
            }
        }
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(password, &blocks, 1, out);
        true
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[derive(Default)]
struct Kept;

/// scrypt's ROMix on two lanes, where the processor can.
#[multiversion(targets("x86_64+avx2"))]
fn mix_two(first: &mut [u8], second: &mut [u8], log_n: u8, kept: &mut Kept) -> bool {
    multiversion::target::match_target! {
        "x86_64+avx2" => {
            super::scrypt_x86::mix(first, second, log_n, kept);
            true
        }
        _ => {
            let _ = (first, second, log_n, kept);
            false
        }
    }
}

impl Default for KdfParams {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lanes_at_a_time_give_the_same_key() {
        for (log_n, r, p) in [(1, 1, 2), (4, 8, 3), (7, 3, 4), (10, 8, 5), (6, 2, 1)] {
            let params = KdfParams::new(log_n, r, p).unwrap();
            let mut expected = [0; 64];
            let crates = scrypt::Params::new(log_n, r, p).unwrap();
            scrypt::scrypt(b"password", b"salt", &crates, &mut expected).unwrap();
            let mut bytes = [0; 64];
            if params.by_twos(b"password", b"salt", &mut bytes) {
                assert_eq!(bytes, expected, "{log_n} {r} {p}");
            }
            let derived = params.derive(b"password", b"salt").unwrap();
            let expected = Key::from_bytes(&expected);
            assert_eq!(expected.open(&derived.seal(b"x").unwrap()).unwrap(), b"x");
        }
    }
}
