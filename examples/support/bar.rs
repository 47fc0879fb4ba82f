//! Progress on long work, in a terminal only.

use aetherius::backup::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A bar over bytes; silent when the output is not a terminal.
pub(crate) fn bytes(what: &'static str, total: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what);
    let style = "{msg:24} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Follows the engine's own counters until it is dropped.
pub(crate) struct Follow {
    done: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Shows `progress` on a bar.
pub(crate) fn follow(what: &'static str, total: u64, progress: &Progress) -> Follow {
    let (bar, progress, done) = (bytes(what, total), progress.clone(), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&done);
    let thread = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            bar.set_position(progress.report().bytes);
            std::thread::park_timeout(Duration::from_millis(100));
        }
        bar.finish_and_clear();
    });
    Follow { done, thread: Some(thread) }
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
