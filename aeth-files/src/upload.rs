//! The rules of uploads that every store shares.

use aeth_core::blob::{BlobStore, BlobStoreExt, Part};
use aeth_core::{BlobPath, Error, Result};
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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

/// Removes staged uploads below a prefix of which nothing was written for `age`, and says how many there were.
///
/// The segment behind the prefix is the upload's id; what was begun with is noted under `note`, which goes first, so
/// that an upload of which a part is left is no more.
pub(crate) async fn expire(
    store: &Arc<dyn BlobStore>,
    prefix: &str,
    now: SystemTime,
    age: Duration,
) -> Result<u64> {
    let mut uploads: BTreeMap<String, (SystemTime, Vec<BlobPath>)> = BTreeMap::new();
    let mut listed = store.list(Some(prefix));
    while let Some(meta) = listed.try_next().await? {
        let rest = meta.path.as_str().strip_prefix(prefix).unwrap_or_default();
        let Some((id, _)) = rest.split_once('/') else { continue };
        let (newest, paths) = uploads.entry(id.to_owned()).or_insert((meta.modified, Vec::new()));
        *newest = (*newest).max(meta.modified);
        paths.push(meta.path);
    }
    let mut expired = 0;
    for (newest, mut paths) in uploads.into_values() {
        if now.duration_since(newest).is_ok_and(|since| since >= age) {
            paths.sort_by_key(|path| path.file_name() != "note");
            for path in &paths {
                store.delete(path).await?;
            }
            expired += 1;
        }
    }
    Ok(expired)
}
