//! Time and faults that a test owns.
//!
//! [`MockClock`] is a clock that passes when it is told to.

mod clock;

pub use clock::MockClock;
