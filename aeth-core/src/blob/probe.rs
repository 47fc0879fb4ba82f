//! What a server really does.

use super::{
    Attributes, BlobStore, BlobStoreExt, BlobTags, Capabilities, Capability, Checksum, CopyAttributes,
    CopyOptions, ETag, GetOptions, GetRange, ListOptions, PutOptions,
};
use crate::{BlobPath, Error, ErrorKind, Result};
use bytes::Bytes;

const FIRST: Bytes = Bytes::from_static(b"123456789");
const SECOND: Bytes = Bytes::from_static(b"another state");

/// Narrows the capabilities that a store claims to those that it shows, by a few dozen small requests under
/// `prefix`, and removes what it wrote there.
///
/// Adapters over a protocol claim what the protocol has; not every server does it, and some ignore a condition
/// silently. `Durable`, `Transparent`, `MultiProcess`, `AtomicRename`, `Presign` and `Versions` cannot be seen
/// from outside and stay as claimed. Nothing is added to the claim.
///
/// # Errors
/// Those of plain puts, gets and deletes: a store without them is of no use.
///
/// # Cancel safety
/// Cancel-safe; what it had written stays under `prefix`.
pub async fn probe(store: &dyn BlobStore, prefix: &BlobPath) -> Result<Capabilities> {
    let place = prefix.join(format!("aeth-probe-{:016x}", fastrand::u64(..)))?;
    let probe = Probe { store, one: place.join("one")?, two: place.join("two")?, place };
    let shown = probe.run().await;
    let cleaned = store.delete_many(&[probe.one.clone(), probe.two.clone()]).await;
    let shown = shown?;
    cleaned?.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(shown)
}

struct Probe<'a> {
    store: &'a dyn BlobStore,
    place: BlobPath,
    one: BlobPath,
    two: BlobPath,
}

impl Probe<'_> {
    async fn run(&self) -> Result<Capabilities> {
        let mut shown = self.store.capabilities();
        for capability in shown.set.iter() {
            self.store.put(&self.one, FIRST).await?;
            self.store.delete(&self.two).await?;
            match self.shows(capability).await {
                Ok(true) => {}
                Ok(false) => shown = shown.without(capability),
                Err(error) if error.retry().is_worthwhile() => return Err(error),
                // A server that refuses what its protocol has does not do it.
                Err(_) => shown = shown.without(capability),
            }
        }
        let read = self.store.put(&self.one, FIRST).await.map(drop);
        read?;
        if self.store.get_bytes(&self.one).await? != FIRST {
            return Err(Error::corrupt("the store gives back other bytes than were put")
                .with_operation("probe")
                .with_component(self.store.name().into_owned())
                .with_key(&self.one));
        }
        Ok(shown)
    }

    /// Whether the store does it, on a place where `one` has the first bytes and `two` is free.
    async fn shows(&self, capability: Capability) -> Result<bool> {
        let (store, one, two) = (self.store, &self.one, &self.two);
        let get = GetOptions::default();
        Ok(match capability {
            Capability::RangeGet => store.get_range(one, 2..5).await? == FIRST[2..5],
            Capability::SuffixGet => store.get_range(one, GetRange::Suffix(3)).await? == FIRST[6..],
            Capability::ConditionalGet => {
                let Some(mark) = store.head(one).await?.etag else { return Ok(false) };
                let same = store.get_opts(one, get.clone().with_if_match(mark.clone())).await.is_ok();
                let foreign = get.clone().with_if_match(ETag::new("\"00000000000000000000000000000000\""));
                let other = refused(store.get_opts(one, foreign).await, ErrorKind::Precondition)?;
                let fresh = store.get_opts(one, get.with_if_none_match(mark)).await;
                same && other && refused(fresh, ErrorKind::Precondition)?
            }
            Capability::CreateOnly => {
                store.put_opts(two, FIRST.into(), PutOptions::create()).await?;
                let again = store.put_opts(two, SECOND.into(), PutOptions::create()).await;
                refused(again, ErrorKind::AlreadyExists)? && store.get_bytes(two).await? == FIRST
            }
            Capability::CompareAndSwap => self.swaps().await?,
            Capability::Attributes => {
                let attributes = Attributes::default().with_content_type("text/x-probe").with_user("a", "b");
                let options = PutOptions::default().with_attributes(attributes.clone());
                store.put_opts(two, FIRST.into(), options).await?;
                let found = store.head(two).await?.attributes.unwrap_or_default();
                found.content_type == attributes.content_type && found.user == attributes.user
            }
            Capability::Tags => {
                let tags = BlobTags::from([("probe".to_owned(), "1".to_owned())]);
                let options = PutOptions::default().with_tags(tags.clone());
                store.put_opts(two, FIRST.into(), options).await?;
                store.head(two).await?.tags == Some(tags)
            }
            Capability::Checksums => {
                let right = PutOptions::default().with_checksum(Checksum::Crc32c(crc32c::crc32c(&FIRST)));
                store.put_opts(two, FIRST.into(), right).await?;
                let wrong = PutOptions::default().with_checksum(Checksum::Crc32c(0));
                refused(store.put_opts(two, SECOND.into(), wrong).await, ErrorKind::Corrupt)?
            }
            Capability::CopyCreateOnly => {
                store.copy_opts(one, two, CopyOptions::create()).await?;
                store.put(two, SECOND).await?;
                let again = store.copy_opts(one, two, CopyOptions::create()).await;
                refused(again, ErrorKind::AlreadyExists)? && store.get_bytes(two).await? == SECOND
            }
            Capability::CopyReplace => {
                let attributes = CopyAttributes::Replace(Attributes::default().with_user("a", "b"));
                let options = CopyOptions::default().with_attributes(attributes);
                store.copy_opts(one, two, options).await?;
                let found = store.head(two).await?.attributes.unwrap_or_default();
                found.user.get("a").is_some_and(|value| value == "b")
            }
            Capability::ListStartAfter => {
                store.put(two, SECOND).await?;
                let options = ListOptions::prefix(format!("{}/", self.place)).with_start_after(one.as_str());
                let page = store.list_page(options).await?;
                page.blobs.len() == 1 && page.blobs[0].path == *two
            }
            Capability::Uploads | Capability::ResumeUploads | Capability::PlainUploads => {
                let upload = store.begin_upload(two, PutOptions::default()).await?;
                let id = upload.id();
                let upload = match capability {
                    Capability::ResumeUploads | Capability::PlainUploads => {
                        store.resume_upload(two, &id).await?
                    }
                    _ => upload,
                };
                let part = upload.put_part(1, SECOND.into()).await?;
                upload.complete(&[part], None).await?;
                store.get_bytes(two).await? == SECOND
            }
            Capability::AtomicRename
            | Capability::Presign
            | Capability::Durable
            | Capability::Transparent
            | Capability::MultiProcess
            | Capability::Versions => true,
        })
    }

    async fn swaps(&self) -> Result<bool> {
        let (store, one, two) = (self.store, &self.one, &self.two);
        let Some(first) = store.head(one).await?.etag else { return Ok(false) };
        store.put_opts(one, SECOND.into(), PutOptions::if_match(first.clone())).await?;
        let stale = store.put_opts(one, FIRST.into(), PutOptions::if_match(first.clone())).await;
        let missing = store.put_opts(two, FIRST.into(), PutOptions::if_match(first)).await;
        Ok(refused(stale, ErrorKind::Precondition)?
            && refused(missing, ErrorKind::Precondition)?
            && store.get_bytes(one).await? == SECOND)
    }
}

/// Whether the call was refused in the way that the contract names; an outage is an error of the probe.
fn refused<T>(result: Result<T>, kind: ErrorKind) -> Result<bool> {
    match result {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == kind => Ok(true),
        Err(error) if error.retry().is_worthwhile() => Err(error),
        Err(_) => Ok(false),
    }
}
