//! What the server answers to a look-up, key by key.

use super::link::{check, number};
use aeth_core::{Error, Result};
use bytes::Bytes;
use redis::Value;

/// What the server has for one key.
pub(super) enum Raw {
    Value(Bytes),
    ValueAndLease(Bytes),
    Lease,
    Held(Vec<u8>),
    Refused(Error),
    Nothing,
}

/// Which keys one answer is about.
pub(super) struct Part {
    pub(super) of: Vec<usize>,
    pub(super) leases: bool,
}

impl Part {
    /// Puts what the answer says at the places of its keys; `None` for an answer that is none.
    pub(super) fn take(self, answer: Result<Value>, raws: &mut [Raw]) -> Option<()> {
        let answers = match answer {
            Err(refusal) => {
                // The other parts of the batch have answers of their own.
                self.of.into_iter().for_each(|at| raws[at] = Raw::Refused(refusal.clone()));
                return Some(());
            }
            Ok(Value::Array(answers)) => answers,
            Ok(single) if self.of.len() == 1 && !self.leases => vec![single],
            _ => return None,
        };
        if answers.len() != self.of.len() {
            return None;
        }
        for (at, answer) in self.of.into_iter().zip(answers) {
            raws[at] = match (answer, self.leases) {
                (Value::BulkString(value), false) => Raw::Value(value.into()),
                (Value::Nil, false) => Raw::Nothing,
                (Value::Array(parts), true) => leased(parts)?,
                (refusal @ Value::ServerError(_), true) => Raw::Refused(check(refusal).err()?),
                _ => return None,
            };
        }
        Some(())
    }
}

fn leased(parts: Vec<Value>) -> Option<Raw> {
    let mut parts = parts.into_iter();
    match (number(&parts.next()?)?, parts.next()) {
        (1, Some(Value::BulkString(value))) => Some(Raw::Value(value.into())),
        (2, Some(Value::BulkString(value))) => Some(Raw::ValueAndLease(value.into())),
        (3, None) => Some(Raw::Lease),
        (4, Some(Value::BulkString(holder))) => Some(Raw::Held(holder)),
        _ => None,
    }
}
