//! The rules of uploads that every store shares.

use aeth_core::blob::Part;
use aeth_core::{Error, Result};

/// The error of an upload that is no more.
pub(crate) fn gone(component: &'static str) -> Error {
    Error::not_found("there is no such upload: it was completed, aborted, or has expired")
        .with_component(component)
        .with_remedy("begin a new upload")
}

/// Refuses a part number out of range.
pub(crate) fn check_number(number: u32, max: u32) -> Result<()> {
    if (1..=max).contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(format!("part number {number} is out of range"))
        .with_remedy(format!("number the parts from 1 to {max}")))
}

/// Checks the parts that an upload is to be completed with against those that are stored: `stored` gives the
/// length and mark of a number.
pub(crate) fn check_parts(
    parts: &[Part],
    min_part: u64,
    stored: impl Fn(u32) -> Option<(u64, Option<String>)>,
) -> Result<()> {
    for (i, part) in parts.iter().enumerate() {
        let number = part.number;
        let refused = |what: &str| {
            Err(Error::invalid(format!("part {number} {what}"))
                .with_remedy("list the stored parts and complete with those, in ascending order"))
        };
        if i > 0 && parts.get(i - 1).is_some_and(|before| before.number >= number) {
            return refused("is out of order");
        }
        let Some((size, etag)) = stored(number) else {
            return refused("was never stored");
        };
        if size != part.size || (part.etag.is_some() && etag.is_some() && part.etag != etag) {
            return refused("is not the one that is stored");
        }
        if i + 1 < parts.len() && size < min_part {
            return refused(&format!("is smaller than {min_part} bytes and not the last"));
        }
    }
    Ok(())
}
