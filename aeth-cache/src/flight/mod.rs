//! Single-flight: of all callers that miss a key at once, one loads and the others wait for it.
//!
//! A flight knows the state of its key when it took off. Callers that arrive after the key was changed must not
//! be answered with what was read before, so they do not board it: they start one of their own, and the older
//! flight's result reaches only those who were waiting already.

mod table;

pub(crate) use table::{Boarding, Flight, Flights, Leader};

use crate::l1::Value;
use aeth_core::Result;

/// How a flight ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The answer for everybody aboard: a value, its absence, or the shared error.
    Landed(Result<Arrival>),
    /// The leader was dropped: somebody else may take over.
    Abandoned,
}

/// An answer, and what it counts as.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) value: Option<Value>,
    pub(crate) origin: Origin,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// L1.
    Local,
    /// A lower tier.
    Tier,
    /// The loader.
    Loader,
    /// A value past its time, served because no newer one could be had, or not soon enough.
    Stale,
}

impl Arrival {
    pub(crate) fn new(value: Option<Value>, origin: Origin) -> Self {
        Self { value, origin }
    }
}
