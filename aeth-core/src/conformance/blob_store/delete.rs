//! Laws of deleting.

use super::BlobSubject;
use crate::BlobPath;
use crate::blob::{BlobStoreExt, Capability, PutOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::pattern;
use crate::conformance::{Breach, Check};

/// law: delete-removes-exactly-its-paths. The blobs named are gone, all others stay, also those whose path begins
/// with a deleted one; there is one result for each path, in order, and duplicates are allowed.
pub(super) async fn delete_removes_exactly_its_paths(subject: &BlobSubject) -> Check {
    let gone = [subject.path("a")?, subject.path("dir/b")?, subject.path("dir/sub/c")?];
    let kept =
        [subject.path("aa")?, subject.path("dir/bb")?, subject.path("dir/sub/cc")?, subject.path("z")?];
    let bytes = pattern(1, 100);
    for path in gone.iter().chain(&kept) {
        subject.put(path, &bytes).await?;
    }
    let mut paths = gone.to_vec();
    paths.push(gone[0].clone());
    paths.push(subject.path("missing")?);
    let results = subject.store.delete_many(&paths).await?;
    ensure!(results.len() == paths.len(), "{} results for {} paths", results.len(), paths.len());
    for (path, result) in paths.iter().zip(results) {
        result.map_err(|error| Breach::Failed(format!("{path} was not deleted: {error}")))?;
    }
    for path in &gone {
        subject.absent("a deleted blob", path).await?;
    }
    for path in &kept {
        subject.holds("a blob beside deleted ones", path, &bytes).await?;
    }
    Ok(())
}

/// law: deleting-nothing-is-success. Deleting a missing blob, the same one again, a prefix of others, or no path
/// at all succeeds and changes nothing.
pub(super) async fn deleting_nothing_is_success(subject: &BlobSubject) -> Check {
    let kept = subject.path("dir/blob")?;
    let bytes = pattern(1, 10);
    subject.put(&kept, &bytes).await?;
    let results = subject.store.delete_many(&[]).await?;
    ensure!(results.is_empty(), "{} results for no path", results.len());
    for name in ["missing", "missing", "dir", "dir/blob2", "dir/blo"] {
        subject.store.delete(&subject.path(name)?).await?;
    }
    subject.holds("a blob after deletes of nothing", &kept, &bytes).await?;
    Ok(())
}

/// law: a-deleted-path-is-free-again. After a delete the path can be created anew, and nothing of the old blob
/// comes back with it.
pub(super) async fn a_deleted_path_is_free_again(subject: &BlobSubject) -> Check {
    let path = subject.path("dir/blob")?;
    let attributes = subject.capabilities().has(Capability::Attributes);
    let create = subject.capabilities().has(Capability::CreateOnly);
    for round in 0..3 {
        let bytes = pattern(round, 1000);
        let mut options = if create { PutOptions::create() } else { PutOptions::default() };
        if attributes && round == 0 {
            options = options.with_attributes(super::attributes::full());
        }
        subject.store.put_opts(&path, bytes.clone().into(), options).await?;
        let meta = subject.holds("a blob on a path that was deleted", &path, &bytes).await?;
        let user = meta.attributes.map(|attributes| attributes.user).unwrap_or_default();
        ensure!(round == 0 || user.is_empty(), "attributes of a deleted blob came back: {user:?}");
        subject.store.delete(&path).await?;
        subject.absent("a deleted blob", &path).await?;
    }
    Ok(())
}

/// law: delete-takes-many-paths. More paths than an engine takes in one request are deleted all the same.
pub(super) async fn delete_takes_many_paths(subject: &BlobSubject) -> Check {
    let paths: Vec<BlobPath> =
        (0..1100).map(|i| subject.path(format!("missing/{i}"))).collect::<Result<_, Breach>>()?;
    let there = [0, 1, 999, 1000, 1001, 1099];
    for i in there {
        subject.put(&paths[i], &pattern(i as u64, 10)).await?;
    }
    let results = subject.store.delete_many(&paths).await?;
    ensure!(results.len() == paths.len(), "{} results for {} paths", results.len(), paths.len());
    for result in results {
        result?;
    }
    for i in there {
        subject.absent("a blob deleted among many", &paths[i]).await?;
    }
    Ok(())
}
