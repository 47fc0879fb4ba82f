//! From one repository into another.

use super::args::Copy;
use super::exit::Outcome;
use super::location::Access;
use super::output::{Output, size};
use super::progress::follow;
use aetherius::Result;
use aetherius::backup::{CopyOptions, Progress};
use serde_json::json;

pub(super) async fn copy(access: &Access, args: &Copy, output: Output) -> Result<Outcome> {
    let target = access.other(&args.to, args.to_password_file.as_deref())?;
    let from = access.open().await?;
    let to = target.open().await?;
    let progress = Progress::new();
    let mut options = CopyOptions::new().filter(args.filter.build()).progress(progress.clone());
    for name in &args.snapshot {
        options = options.snapshot(from.snapshot(name).await?.id);
    }
    let bar = follow("copying", None, &progress, output);
    let report = from.copy_to(&to, options).await;
    drop(bar);
    let report = report?;
    for copied in &report.copied {
        output.result(
            || format!("snapshot {} copied as {}", copied.from.short(), copied.to.short()),
            || json!({ "message_type": "copied", "from": copied.from.to_string(), "to": copied.to.to_string() }),
        );
    }
    output.line(format!(
        "{} snapshots copied, {} there already; {} blobs, {}",
        report.copied.len(),
        report.present.len(),
        report.blobs,
        size(report.bytes)
    ));
    if !report.same_chunker {
        output.line(
            "hint: the two cut files differently, so that backups into the other store everything anew",
        );
    }
    output.value(|| {
        json!({
            "message_type": "summary",
            "copied": report.copied.len(), "present": report.present.len(),
            "blobs": report.blobs, "bytes": report.bytes,
        })
    });
    Ok(Outcome::Complete)
}
