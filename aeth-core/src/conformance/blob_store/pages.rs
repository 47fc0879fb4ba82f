//! Laws of paged listing.

use super::BlobSubject;
use crate::ErrorKind;
use crate::blob::{BlobStoreExt, ListOptions, PageToken};
use crate::conformance::law::ensure;
use crate::conformance::tools::{fails, pattern};
use crate::conformance::{Breach, Check};

/// Reads every page with `limit` entries at most; gives blobs and prefixes. With `changing`, blobs come and go after each page.
async fn turn(
    subject: &BlobSubject,
    options: &ListOptions,
    limit: usize,
    changing: bool,
) -> Result<(Vec<String>, Vec<String>), Breach> {
    let (mut blobs, mut prefixes) = (Vec::new(), Vec::new());
    let mut next = None;
    for number in 0..1000 {
        let mut asked = options.clone().with_limit(limit);
        asked.token = next;
        let page = subject.store.list_page(asked).await?;
        let entries = page.blobs.len() + page.prefixes.len();
        ensure!(entries <= limit, "a page of at most {limit} entries has {entries}");
        for meta in &page.blobs {
            blobs.push(subject.rest(meta.path.as_str())?.to_owned());
        }
        for prefix in &page.prefixes {
            prefixes.push(subject.rest(prefix)?.to_owned());
        }
        next = page.next;
        if next.is_none() {
            return Ok((blobs, prefixes));
        }
        if changing {
            change(subject, number).await?;
        }
    }
    Err(Breach::Failed(format!("a listing in pages of {limit} does not end")))
}

async fn change(subject: &BlobSubject, number: usize) -> Check {
    let gone = subject.path(format!("k{:02}-passing", (number * 3) % 20))?;
    subject.store.delete(&gone).await?;
    let here = subject.path(format!("k{:02}-late", (number * 7) % 20))?;
    subject.put(&here, &pattern(3, 5)).await?;
    Ok(())
}

/// law: pages-add-up-to-the-listing. Pages of any limit, read one after the other, give every blob and every
/// prefix exactly once and in order; none has more entries than its limit; the last one says so.
pub(super) async fn pages_add_up_to_the_listing(subject: &BlobSubject) -> Check {
    subject.needs_strong()?;
    let mut names: Vec<String> = Vec::new();
    for i in 0..9 {
        names.extend([format!("a{i}"), format!("d{}/{i}", i % 4), format!("d{}/x/{i}", i % 3)]);
    }
    names.sort();
    for (i, name) in names.iter().enumerate() {
        subject.put(&subject.path(name)?, &pattern(i as u64, 5)).await?;
    }
    let options = ListOptions::prefix(subject.text(""));
    let grouped = options.clone().with_delimiter();
    let mut groups: Vec<String> =
        names.iter().filter_map(|name| name.split_once('/')).map(|(group, _)| format!("{group}/")).collect();
    groups.dedup();
    let direct: Vec<&String> = names.iter().filter(|name| !name.contains('/')).collect();
    for limit in [1, 2, 3, 7, names.len() - 1, names.len(), names.len() + 1, 1000] {
        let (blobs, prefixes) = turn(subject, &options, limit, false).await?;
        ensure!(blobs == names, "pages of {limit} give {blobs:?}, there is {names:?}");
        ensure!(prefixes.is_empty(), "pages without delimiter give prefixes");
        let (blobs, prefixes) = turn(subject, &grouped, limit, false).await?;
        ensure!(blobs.iter().eq(direct.iter().copied()), "grouped pages of {limit} give the blobs {blobs:?}");
        ensure!(prefixes == groups, "grouped pages of {limit} give {prefixes:?}, there is {groups:?}");
    }
    Ok(())
}

/// law: a-foreign-token-is-invalid. A token that the store did not give is refused with `Invalid`.
pub(super) async fn a_foreign_token_is_invalid(subject: &BlobSubject) -> Check {
    subject.put(&subject.path("blob")?, &pattern(1, 5)).await?;
    for token in ["", "not a token of this store \u{1f4a5}"] {
        let options = ListOptions::prefix(subject.text("")).with_token(PageToken::new(token));
        fails(
            &format!("the token {token:?}"),
            subject.store.list_page(options).await,
            &[ErrorKind::Invalid],
        )?;
    }
    Ok(())
}

/// law: pages-skip-and-repeat-nothing-under-change. While others write and delete, every blob that exists during
/// the whole listing appears in it exactly once.
pub(super) async fn pages_skip_and_repeat_nothing_under_change(subject: &BlobSubject) -> Check {
    subject.needs_strong()?;
    let stable: Vec<String> = (0..20).map(|i| format!("k{i:02}")).collect();
    for name in &stable {
        subject.put(&subject.path(name)?, &pattern(1, 5)).await?;
    }
    for limit in [1, 3, 8] {
        for i in 0..20 {
            subject.put(&subject.path(format!("k{i:02}-passing"))?, &pattern(2, 5)).await?;
        }
        let options = ListOptions::prefix(subject.text(""));
        let (blobs, _) = turn(subject, &options, limit, true).await?;
        for name in &stable {
            let times = blobs.iter().filter(|listed| *listed == name).count();
            ensure!(times == 1, "in pages of {limit} under change, {name:?} is listed {times} times");
        }
        ensure!(blobs.is_sorted(), "pages of {limit} under change are not in order");
    }
    Ok(())
}
