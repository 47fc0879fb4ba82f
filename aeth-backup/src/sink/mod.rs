//! Sinks that are made of sinks.

mod hot_cold;

pub use hot_cold::HotCold;
