//! Places for bytes, out of the settings.

mod open;
mod place;

pub(crate) use open::OpenOptions;
pub(crate) use place::Place;
