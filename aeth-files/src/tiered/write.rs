//! Writing and deleting.

use super::stub::{ATTRIBUTE, Stub};
use super::{Core, placed};
use aeth_core::blob::{Attributes, BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, Error, Result};
use futures_util::{StreamExt, stream};

/// How many heads are under way before a delete.
const HEADS: usize = 16;

/// Refuses attributes that would make a blob look like a stub.
pub(super) fn check_attributes(attributes: &Attributes, path: &BlobPath) -> Result<()> {
    if !attributes.user.contains_key(ATTRIBUTE) {
        return Ok(());
    }
    let error = Error::invalid(format!("the attribute `{ATTRIBUTE}` is reserved"));
    Err(placed(error, path).with_remedy("choose another name for it"))
}

impl Core {
    pub(super) async fn delete(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let look = |path: BlobPath| async move {
            match self.look(&path).await {
                Ok((_, stub)) => stub,
                // Whatever is there, the delete says what is wrong with it.
                Err(_) => None,
            }
        };
        // Owned, so that the future does not borrow from the slice in a way that async traits cannot express.
        let looks: Vec<_> = paths.iter().cloned().map(look).collect();
        let stubs: Vec<Option<Stub>> = stream::iter(looks).buffered(HEADS).collect().await;
        let results = self.hot.delete_many(paths).await?;
        for ((path, stub), result) in paths.iter().zip(stubs).zip(&results) {
            if result.is_ok() {
                self.used.forget(path);
                if let Some(stub) = stub {
                    self.drop_place(&stub).await;
                }
            }
        }
        Ok(results)
    }

    /// Removes bytes that nothing refers to any more. What cannot be removed now, a sweep removes.
    pub(super) async fn drop_place(&self, stub: &Stub) {
        let dropped = match self.tier(&stub.tier) {
            Ok(tier) => tier.delete(&stub.place).await,
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            tracing::debug!(%error, "the bytes of a blob that is gone stay in their tier until the next sweep");
        }
    }
}
