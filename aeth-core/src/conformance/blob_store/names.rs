//! Laws of names.

use super::BlobSubject;
use crate::blob::{BlobStoreExt, ListOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::pattern;
use crate::conformance::{Breach, Check};
use crate::{BlobPath, ErrorKind};

/// Names that every store must take.
const ODD: [&str; 44] = [
    "space in it",
    "+",
    "a+b",
    "%",
    "%41",
    "%2F",
    "%2e%2e",
    "100%",
    "#",
    "a#b",
    "?",
    "a?b=c&d",
    "&amp;",
    "'",
    "\"",
    "`",
    "$HOME",
    "~",
    "~user",
    "*",
    "[a]",
    "{b}",
    "(c)",
    "|",
    "!",
    "@",
    "=",
    ",",
    ";",
    ":",
    "a:b",
    "-",
    "--help",
    "...",
    ".hidden",
    "dir./x.",
    "name.tmp",
    "a.b.c",
    "ü",
    "u\u{308}",
    "日本語/ファイル",
    "🦀",
    "CON",
    "a=b/c@d",
];

/// Names that a store may refuse, but must not change.
const HARD: [&str; 12] = [
    "a\nb",
    "a\tb",
    "a\rb",
    "\u{1}",
    "\u{7f}",
    "\u{85}",
    "\u{fffe}",
    "\u{202e}rtl",
    "back\\slash",
    "<a>",
    "trailing ",
    " leading",
];

/// law: odd-names-are-kept-as-they-are. Every valid path without control characters is stored, read, listed,
/// copied and deleted under exactly its own name; names that differ in case, in encoding or in normalisation are
/// different.
pub(super) async fn odd_names_are_kept_as_they_are(subject: &BlobSubject) -> Check {
    let mut names: Vec<String> = ODD.iter().map(|name| (*name).to_owned()).collect();
    names.extend(["Case".into(), "case".into(), "CASE".into(), "s".repeat(200), "é".repeat(100)]);
    names.push(["deep"; 30].join("/"));
    names.push(vec!["0123456789".repeat(10); 7].join("/"));
    for (i, name) in names.iter().enumerate() {
        let path = subject.path(name)?;
        let kept = keep(subject, &path, i as u64).await?;
        ensure!(kept, "the name {name:?} is refused");
    }
    check(subject, &names).await?;
    for (i, name) in names.iter().enumerate() {
        subject
            .holds(&format!("the blob {name:?}"), &subject.path(name)?, &pattern(i as u64, 20 + i))
            .await?;
    }
    let paths: Vec<BlobPath> = names.iter().map(|name| subject.path(name)).collect::<Result<_, _>>()?;
    for path in &paths {
        let copy = subject.path("copy")?;
        subject.store.rename(path, &copy).await?;
        subject.store.copy(&copy, path).await?;
    }
    for result in subject.store.delete_many(&paths).await? {
        result?;
    }
    check(subject, &["copy".to_owned()]).await
}

/// law: hard-names-are-kept-or-refused. A path with control characters or at the greatest lengths is stored under
/// exactly its own name, or refused with `Invalid` or `Unsupported`.
pub(super) async fn hard_names_are_kept_or_refused(subject: &BlobSubject) -> Check {
    let mut names: Vec<String> = HARD.iter().map(|name| (*name).to_owned()).collect();
    names.extend(["x".repeat(255), "x".repeat(256), "x".repeat(600), "日".repeat(100)]);
    let room = BlobPath::MAX_LEN - subject.text("").len();
    names.push("s/".repeat(room / 2 - 1) + "e");
    let mut taken = Vec::new();
    for (i, name) in names.iter().enumerate() {
        if keep(subject, &subject.path(name)?, i as u64).await? {
            taken.push(name.clone());
        }
    }
    check(subject, &taken).await
}

/// law: a-path-may-extend-another-or-is-refused. A blob `a` and a blob `a/b` are there beside each other, or the
/// second one is refused with `Invalid`, `AlreadyExists` or `Unsupported` and the first one stays.
pub(super) async fn a_path_may_extend_another_or_is_refused(subject: &BlobSubject) -> Check {
    for (first, second) in [("a", "a/b"), ("c/d", "c"), ("e", "e/f/g")] {
        let (one, two) = (subject.path(first)?, subject.path(second)?);
        let (bytes, other) = (pattern(1, 100), pattern(2, 50));
        subject.put(&one, &bytes).await?;
        match subject.put(&two, &other).await {
            Ok(_) => {
                subject.holds(&format!("{second:?} beside {first:?}"), &two, &other).await?;
                subject.holds(&format!("{first:?} beside {second:?}"), &one, &bytes).await?;
                subject.store.delete(&two).await?;
            }
            Err(error) if refuses(error.kind()) || error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        subject.holds(&format!("{first:?} after {second:?}"), &one, &bytes).await?;
        ensure!(!subject.store.exists(&two).await?, "{second:?} exists");
        // Directories that a refused or deleted blob may have left are not in the way.
        subject.store.delete(&one).await?;
        subject.put(&two, &other).await?;
        subject.holds(&format!("{second:?} once {first:?} is gone"), &two, &other).await?;
    }
    Ok(())
}

fn refuses(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Invalid | ErrorKind::Unsupported)
}

/// Puts and reads under a name; false when the store refuses it in the ordered way.
async fn keep(subject: &BlobSubject, path: &BlobPath, seed: u64) -> Result<bool, Breach> {
    let bytes = pattern(seed, 20 + usize::try_from(seed).unwrap_or_default());
    match subject.put(path, &bytes).await {
        Ok(_) => {
            subject.holds(&format!("the blob {path:?}"), path, &bytes).await?;
            Ok(true)
        }
        Err(error) if refuses(error.kind()) => Ok(false),
        Err(error) => {
            Err(Breach::Failed(format!("the name {path:?} fails with {:?}: {error}", error.kind())))
        }
    }
}

/// Demands that exactly these are listed.
async fn check(subject: &BlobSubject, names: &[String]) -> Check {
    subject.needs_strong()?;
    let mut wanted = names.to_vec();
    wanted.sort();
    let mut listed = Vec::new();
    for meta in subject.listed("").await? {
        listed.push(subject.rest(meta.path.as_str())?.to_owned());
    }
    let missing: Vec<&String> = wanted.iter().filter(|name| !listed.contains(name)).collect();
    ensure!(missing.is_empty(), "the listing lacks {missing:?}");
    let extra: Vec<&String> = listed.iter().filter(|name| !wanted.contains(name)).collect();
    ensure!(extra.is_empty(), "the listing gives {extra:?}, which nobody put");
    ensure!(listed == wanted, "the listing is not in byte order: {listed:?}");
    for name in &wanted {
        let page = subject.store.list_page(ListOptions::prefix(subject.text(name))).await?;
        let found =
            page.blobs.iter().any(|meta| subject.rest(meta.path.as_str()).is_ok_and(|rest| rest == name));
        ensure!(found, "the listing with the prefix {name:?} lacks it");
    }
    Ok(())
}
