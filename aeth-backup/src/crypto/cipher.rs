//! The cipher and its code over one message, piece by piece.

use super::key::{Ctr, MAC};
#[cfg(target_arch = "x86_64")]
use super::{ctr_x86, poly::Number};
use aes::cipher::{KeyIvInit, StreamCipher};
use multiversion::multiversion;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use zeroize::{Zeroize, Zeroizing};

/// Pieces but the last have a multiple of this many bytes.
pub(super) const GROUP: usize = 128;

/// What the two keys come to before any message, where the processor has a faster way with it.
#[derive(Clone, Default, Zeroize)]
pub(super) struct Prepared {
    #[cfg(target_arch = "x86_64")]
    schedule: Option<ctr_x86::Schedule>,
}

impl Prepared {
    pub(super) fn new(encrypt: &[u8; 32], mac_r: &[u8; 16]) -> Self {
        prepare(encrypt, mac_r)
    }
}

/// One message that is sealed or opened.
pub(super) enum Message<'a> {
    Plain(Box<(Ctr, Poly1305)>),
    #[cfg(target_arch = "x86_64")]
    Wide(&'a ctr_x86::Schedule, ctr_x86::State, [u8; MAC]),
    #[cfg(not(target_arch = "x86_64"))]
    #[allow(dead_code, reason = "gives the lifetime a use")]
    Never(std::convert::Infallible, &'a Prepared),
}

impl<'a> Message<'a> {
    /// `pad` is the counter under the other key.
    pub(super) fn new(
        prepared: &'a Prepared,
        encrypt: &[u8; 32],
        mac_r: &[u8; 16],
        iv: &[u8; 16],
        pad: [u8; MAC],
    ) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(schedule) = &prepared.schedule {
            return Self::Wide(schedule, ctr_x86::State::new(iv), pad);
        }
        let _ = prepared;
        let mut key = Zeroizing::new([0; 32]);
        key[..16].copy_from_slice(mac_r);
        key[16..].copy_from_slice(&pad);
        Self::Plain(Box::new((Ctr::new(encrypt.into(), iv.into()), Poly1305::new(&(*key).into()))))
    }

    /// Takes a piece of whole groups from `from` to `to`, which is as long. `SEALS` says that `to` is the ciphertext.
    pub(super) fn piece<const SEALS: bool>(&mut self, from: &[u8], to: &mut [u8]) {
        match self {
            Self::Plain(both) => {
                let (cipher, code) = &mut **both;
                to.copy_from_slice(from);
                cipher.apply_keystream(to);
                code.update_padded(if SEALS { to } else { from });
            }
            #[cfg(target_arch = "x86_64")]
            Self::Wide(schedule, state, _) => {
                run::<SEALS>(schedule, state, from.as_chunks().0, to.as_chunks_mut().0);
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Never(never, _) => match *never {},
        }
    }

    /// Takes the last piece, of any length, and tells the code of all.
    pub(super) fn end<const SEALS: bool>(mut self, from: &[u8], to: &mut [u8]) -> [u8; MAC] {
        let whole = from.len() / GROUP * GROUP;
        let ((from, rest), (to, to_rest)) = (from.split_at(whole), to.split_at_mut(whole));
        self.piece::<SEALS>(from, to);
        match self {
            Self::Plain(both) => {
                let (mut cipher, code) = *both;
                to_rest.copy_from_slice(rest);
                cipher.apply_keystream(to_rest);
                code.compute_unpadded(if SEALS { to_rest } else { rest }).into()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Wide(schedule, state, pad) => {
                let (stream, number) = last(schedule, &state);
                for ((to, from), stream) in to_rest.iter_mut().zip(rest).zip(stream) {
                    *to = from ^ stream;
                }
                add_rest(number, schedule.r, if SEALS { to_rest } else { rest }).tag(&pad)
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Never(never, _) => match never {},
        }
    }
}

/// What is less than a group.
#[cfg(target_arch = "x86_64")]
fn add_rest(mut number: Number, r: Number, rest: &[u8]) -> Number {
    let (blocks, end) = rest.as_chunks();
    for block in blocks {
        number = number.add_block(block, true).times(r);
    }
    if !end.is_empty() {
        let mut block = [0; 16];
        block[..end.len()].copy_from_slice(end);
        block[end.len()] = 1;
        number = number.add_block(&block, false).times(r);
    }
    number
}

#[multiversion(targets("x86_64+avx2+aes"))]
fn prepare(encrypt: &[u8; 32], mac_r: &[u8; 16]) -> Prepared {
    multiversion::target::match_target! {
        "x86_64+avx2+aes" => Prepared { schedule: Some(ctr_x86::Schedule::new(encrypt, mac_r)) },
        _ => {
            let _ = (encrypt, mac_r);
            Prepared::default()
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[multiversion(targets("x86_64+avx2+aes+vaes", "x86_64+avx2+aes"))]
fn run<const SEALS: bool>(
    schedule: &ctr_x86::Schedule,
    state: &mut ctr_x86::State,
    from: &[[u8; GROUP]],
    to: &mut [[u8; GROUP]],
) {
    multiversion::target::match_target! {
        "x86_64+avx2+aes+vaes" => ctr_x86::run_vaes::<SEALS>(schedule, state, from, to),
        "x86_64+avx2+aes" => ctr_x86::run_aes::<SEALS>(schedule, state, from, to),
        // There is a schedule only where the processor has these.
        _ => unreachable!("{:p} {:p} {} {}", schedule, state, from.len(), to.len()),
    }
}

/// The cipher's next bytes, and what the code has come to.
#[cfg(target_arch = "x86_64")]
#[multiversion(targets("x86_64+avx2+aes"))]
fn last(schedule: &ctr_x86::Schedule, state: &ctr_x86::State) -> ([u8; GROUP], Number) {
    multiversion::target::match_target! {
        "x86_64+avx2+aes" => (ctr_x86::keystream(schedule, state), state.number(schedule)),
        _ => unreachable!("{:p} {:p}", schedule, state),
    }
}
