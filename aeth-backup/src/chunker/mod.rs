//! Content-defined chunking at restic's own boundaries.
//!
//! restic slides a 64-byte Rabin fingerprint over the data and cuts where its low 20 bits are zero, between
//! 512 KiB and 8 MiB after the last cut. Since a fingerprint is a function of the 64 bytes before it alone,
//! where the cuts may be does not depend on where a chunk began: the first 512 KiB of each chunk need not be
//! looked at, and the rest is scanned by several fingerprints side by side ([`lanes`]), which the processor
//! runs in parallel. The result is the same to the byte, so that data which restic has stored before is found
//! again.
//!
//! Source: restic's `doc/design.rst` and its `chunker` package; M. O. Rabin, *Fingerprinting by random
//! polynomials* (1981).

mod lanes;
mod polynomial;
mod split;
mod tables;
#[cfg(target_arch = "x86_64")]
mod wide_x86;

pub(crate) use polynomial::Polynomial;
pub(crate) use split::{Chunker, MAX_SIZE, MIN_SIZE};
