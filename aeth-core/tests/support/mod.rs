//! Reference implementations of the contracts, and the flaws that can be switched on in them.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::clone_on_ref_ptr,
    clippy::needless_pass_by_value,
    clippy::new_without_default,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::exhaustive_enums,
    reason = "support of several test crates, each of which uses a part"
)]

pub mod coord;
pub mod observed;
pub mod sink;
pub mod store;
pub mod store_listing;
pub mod store_upload;
pub mod tier;
