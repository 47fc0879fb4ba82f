//! Time and faults that a test owns.
//!
//! [`MockClock`] is a clock that passes when it is told to. A [`FaultPlan`] decides, by a script or by seeded
//! chance, which call of a wrapped component goes wrong and how: an error, a delay, a hang, an answer that is lost
//! after the work was done, a write that is torn, a bit that flips. There is a wrapper for each contract that can
//! fail. What goes wrong is the same for the same seed, so that a failure found by chance can be found again.

mod bytes;
mod clock;
mod coord;
mod plan;
mod random;
mod sink;
mod store;
mod tier;
mod upload;

pub use clock::MockClock;
pub use coord::{FaultyBackplane, FaultyHealth, FaultyLeaderLock};
pub use plan::{Fault, FaultPlan};
pub use random::SimRng;
pub use sink::FaultySink;
pub use store::FaultyStore;
pub use tier::FaultyTier;
