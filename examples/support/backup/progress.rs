//! How far it is, as restic shows it.

use super::output::{Output, clock, size};
use aetherius::backup::{Progress, ProgressReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const DRAW: Duration = Duration::from_millis(100);
/// A machine is told so often.
const TELL: Duration = Duration::from_secs(1);

/// Follows the engine's counters until it is dropped: on a line of the terminal, or as JSON once a second.
pub(super) struct Follow {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// `total` is what is known beforehand, in bytes.
pub(super) fn follow(what: &'static str, total: Option<u64>, progress: &Progress, output: Output) -> Follow {
    let done = Arc::new(AtomicBool::new(false));
    let terminal = std::io::stderr().is_terminal() && !output.json && !output.quiet;
    if !terminal && !output.json {
        return Follow { done, thread: None };
    }
    let (progress, until) = (progress.clone(), Arc::clone(&done));
    let thread = std::thread::spawn(move || {
        #[allow(clippy::disallowed_methods, reason = "a program may look at the clock")]
        let begun = Instant::now();
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if terminal {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.set_style(
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
        }
        let mut told = Duration::ZERO;
        while !until.load(Ordering::Relaxed) {
            std::thread::park_timeout(DRAW);
            let (elapsed, report) = (begun.elapsed(), progress.report());
            if terminal {
                bar.set_message(line(what, elapsed, &report, total));
                bar.tick();
            } else if elapsed - told >= TELL {
                told = elapsed;
                output.value(|| status(elapsed, &report, total));
            }
        }
        bar.finish_and_clear();
    });
    Follow { done, thread: Some(thread) }
}

fn share(report: &ProgressReport, total: Option<u64>) -> Option<f64> {
    let total = total.unwrap_or(report.total_bytes).max(report.bytes);
    #[allow(clippy::cast_precision_loss, reason = "a share for the eye")]
    (total > 0).then(|| report.bytes as f64 / total as f64)
}

fn line(what: &str, elapsed: Duration, report: &ProgressReport, total: Option<u64>) -> String {
    let share = share(report, total);
    let percent = share.map_or_else(|| "      ".into(), |share| format!("{:5.2}%", share * 100.0));
    let of = match total.unwrap_or(report.total_bytes) {
        0 => String::new(),
        total => format!(", total {} files {}", report.total_files.max(report.files), size(total)),
    };
    let left = share.filter(|share| *share > 0.01).map_or_else(String::new, |share| {
        format!(" ETA {}", clock(elapsed.mul_f64((1.0 - share).max(0.0) / share)))
    });
    format!(
        "[{}] {percent}  {what}: {} files {}{of}, {} errors{left}",
        clock(elapsed),
        report.files,
        size(report.bytes),
        report.skipped
    )
}

fn status(elapsed: Duration, report: &ProgressReport, total: Option<u64>) -> serde_json::Value {
    json!({
        "message_type": "status",
        "seconds_elapsed": elapsed.as_secs(),
        "percent_done": share(report, total).unwrap_or(0.0),
        "total_files": report.total_files,
        "files_done": report.files,
        "total_bytes": total.unwrap_or(report.total_bytes),
        "bytes_done": report.bytes,
        "bytes_stored": report.stored,
        "error_count": report.skipped,
    })
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}
