//! Laws of listing.

use super::BlobSubject;
use crate::blob::{BlobStoreExt, Capability, ListOptions, ListedSize, Page};
use crate::conformance::law::ensure;
use crate::conformance::tools::pattern;
use crate::conformance::{Breach, Check};

/// Names whose byte order differs from the order of their segments, of their letters and of their lengths.
const NAMES: [&str; 16] = [
    "A",
    "B/x",
    "Z",
    "a!",
    "a-",
    "a.",
    "a/b0",
    "a/bb/c",
    "a/bb/d",
    "a0",
    "aa",
    "b",
    "dir/1",
    "dir/sub/2",
    "z",
    "é/ü",
];

async fn plant(subject: &BlobSubject) -> Check {
    subject.needs_strong()?;
    // In an order that is not the one of the listing.
    for i in 0..NAMES.len() {
        let i = (i * 7 + 3) % NAMES.len();
        subject.put(&subject.path(NAMES[i])?, &pattern(i as u64, i * 10)).await?;
    }
    Ok(())
}

async fn page(subject: &BlobSubject, options: ListOptions) -> Result<(Vec<String>, Vec<String>), Breach> {
    let Page { blobs, prefixes, next, .. } = subject.store.list_page(options.clone()).await?;
    ensure!(next.is_none(), "a listing of {} entries needs a second page", NAMES.len());
    let mut names = (Vec::new(), Vec::new());
    for meta in blobs {
        names.0.push(subject.rest(meta.path.as_str())?.to_owned());
    }
    for prefix in prefixes {
        names.1.push(subject.rest(&prefix)?.to_owned());
    }
    Ok(names)
}

fn expect(what: &str, found: &[String], wanted: &[&str]) -> Check {
    ensure!(found == wanted, "{what}: the listing gives {found:?}, there is {wanted:?}");
    Ok(())
}

/// law: a-listing-is-in-byte-order. Every blob is listed once, in ascending order of its path's bytes.
pub(super) async fn a_listing_is_in_byte_order(subject: &BlobSubject) -> Check {
    plant(subject).await?;
    let (blobs, prefixes) = page(subject, ListOptions::prefix(subject.text(""))).await?;
    expect("all", &blobs, &NAMES)?;
    ensure!(prefixes.is_empty(), "a listing without delimiter gives the prefixes {prefixes:?}");
    let mut streamed = Vec::new();
    for meta in subject.listed("").await? {
        streamed.push(subject.rest(meta.path.as_str())?.to_owned());
    }
    expect("the stream", &streamed, &NAMES)
}

/// law: a-prefix-is-bytes. A prefix selects by text and not by segments; with a slash at its end it means a
/// directory; it may be a whole path or reach into a segment.
pub(super) async fn a_prefix_is_bytes(subject: &BlobSubject) -> Check {
    plant(subject).await?;
    for prefix in
        ["a", "a/", "a/b", "a/bb", "a/bb/", "a/bb/c", "dir", "dir/", "di", "z", "é", "B", "zz", "a/c", "é/"]
    {
        let wanted: Vec<&str> = NAMES.into_iter().filter(|name| name.starts_with(prefix)).collect();
        let (blobs, _) = page(subject, ListOptions::prefix(subject.text(prefix))).await?;
        expect(&format!("the prefix {prefix:?}"), &blobs, &wanted)?;
    }
    Ok(())
}

/// law: a-delimiter-groups. With a delimiter, what follows the prefix up to the next slash is one entry among the
/// prefixes, given once and with its slash; blobs directly under the prefix stay.
pub(super) async fn a_delimiter_groups(subject: &BlobSubject) -> Check {
    plant(subject).await?;
    for prefix in ["", "a", "a/", "a/b", "a/bb/", "dir", "dir/", "z", "é", "nothing/"] {
        let (mut blobs, mut groups) = (Vec::new(), Vec::new());
        for name in NAMES.into_iter().filter(|name| name.starts_with(prefix)) {
            match name[prefix.len()..].find('/') {
                Some(at) => groups.push(&name[..=prefix.len() + at]),
                None => blobs.push(name),
            }
        }
        groups.dedup();
        let options = ListOptions::prefix(subject.text(prefix)).with_delimiter();
        let found = page(subject, options).await?;
        expect(&format!("the blobs under {prefix:?}"), &found.0, &blobs)?;
        expect(&format!("the prefixes under {prefix:?}"), &found.1, &groups)?;
    }
    Ok(())
}

/// law: start-after-leaves-out-what-is-before. Only paths after the one given are listed, whether or not it
/// exists, together with a prefix too.
pub(super) async fn start_after_leaves_out_what_is_before(subject: &BlobSubject) -> Check {
    subject.needs(Capability::ListStartAfter)?;
    plant(subject).await?;
    for after in
        ["!", "A", "B", "a", "a-", "a/b0", "a/b1", "a/zzz", "b", "dir/sub/2", "z", "é/ü", "\u{10ffff}"]
    {
        for prefix in ["", "a", "a/", "dir/"] {
            let wanted: Vec<&str> =
                NAMES.into_iter().filter(|name| name.starts_with(prefix) && *name > after).collect();
            let options = ListOptions::prefix(subject.text(prefix)).with_start_after(subject.text(after));
            let (blobs, _) = page(subject, options).await?;
            expect(&format!("after {after:?} under {prefix:?}"), &blobs, &wanted)?;
        }
    }
    Ok(())
}

/// law: a-listing-agrees-with-heads. A listed blob has the size (where sizes are exact), mark and time that a head
/// gives.
pub(super) async fn a_listing_agrees_with_heads(subject: &BlobSubject) -> Check {
    subject.needs_strong()?;
    for size in [0, 1, 100, 70_000] {
        subject.put(&subject.path(format!("blob-{size:06}"))?, &pattern(size as u64, size)).await?;
    }
    let listed = subject.listed("").await?;
    ensure!(listed.len() == 4, "{} blobs are listed of 4", listed.len());
    for meta in listed {
        let head = subject.store.head(&meta.path).await?;
        if subject.capabilities().listed_size == ListedSize::Exact {
            ensure!(
                meta.size == head.size,
                "{}: listed with {} bytes, has {}",
                meta.path,
                meta.size,
                head.size
            );
        }
        ensure!(
            meta.etag.is_none() || meta.etag == head.etag,
            "{}: listed with the mark {:?}, has {:?}",
            meta.path,
            meta.etag,
            head.etag
        );
        let apart = meta.modified.duration_since(head.modified).unwrap_or_else(|error| error.duration());
        ensure!(
            apart.as_secs() < 2,
            "{}: listed with {:?}, has {:?}",
            meta.path,
            meta.modified,
            head.modified
        );
    }
    Ok(())
}

/// law: a-listing-of-nothing-is-empty. A prefix under which there is nothing gives an empty page, not an error.
pub(super) async fn a_listing_of_nothing_is_empty(subject: &BlobSubject) -> Check {
    for prefix in ["", "nothing", "nothing/", "nothing/at/all/"] {
        for delimiter in [false, true] {
            let mut options = ListOptions::prefix(subject.text(prefix));
            options.delimiter = delimiter;
            let page = subject.store.list_page(options).await?;
            let empty = page.blobs.is_empty() && page.prefixes.is_empty() && page.next.is_none();
            ensure!(empty, "a listing of nothing under {prefix:?} gives {page:?}");
        }
    }
    Ok(())
}

/// law: a-listing-follows-writes. A put, overwrite, copy, rename or delete that was acknowledged shows in the next
/// listing.
pub(super) async fn a_listing_follows_writes(subject: &BlobSubject) -> Check {
    subject.needs_strong()?;
    let (a, b, c) = (subject.path("d/a")?, subject.path("d/b")?, subject.path("e/c")?);
    for round in 0..3 {
        subject.put(&a, &pattern(round, 100)).await?;
        shows(subject, "a put", &["d/a"]).await?;
        subject.put(&a, &pattern(round, 200)).await?;
        shows(subject, "an overwrite", &["d/a"]).await?;
        subject.store.copy(&a, &c).await?;
        shows(subject, "a copy", &["d/a", "e/c"]).await?;
        subject.store.rename(&a, &b).await?;
        shows(subject, "a rename", &["d/b", "e/c"]).await?;
        subject.store.delete_many(&[b.clone(), c.clone()]).await?;
        shows(subject, "a delete", &[]).await?;
    }
    Ok(())
}

async fn shows(subject: &BlobSubject, what: &str, wanted: &[&str]) -> Check {
    let listed = subject.listed("").await?;
    let mut names = Vec::new();
    for meta in &listed {
        names.push(subject.rest(meta.path.as_str())?);
    }
    ensure!(names == wanted, "after {what} the listing gives {names:?}, there is {wanted:?}");
    Ok(())
}
