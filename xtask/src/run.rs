//! Running a command: its output streams through, its test results are counted, its time is bounded.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How a command ended, and the tests that it reported.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) ok: bool,
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Names of failed tests, and what else a reader must know.
    pub(crate) notes: Vec<String>,
    /// Tests print what they like; only before them an `error` is the compiler's.
    testing: bool,
}

impl Outcome {
    /// The outcome of something that is no command: one check.
    pub(crate) fn of(result: Result<Vec<String>, String>) -> Self {
        match result {
            Ok(notes) => Self { ok: true, notes, ..Self::default() },
            Err(note) => Self { notes: vec![note], ..Self::default() },
        }
    }
}

/// Runs `command` for `limit` at most. Both its outputs go to ours, in the order in which they were written.
pub(crate) fn stream(command: Command, limit: Duration) -> Outcome {
    // A reader that went away is no reason to stop the tests.
    follow(command, limit, |line| drop(writeln!(io::stdout().lock(), "{line}")))
}

/// The same, for commands that run side by side: what it printed goes to our output in one piece at its end.
pub(crate) fn captured(command: Command, limit: Duration) -> Outcome {
    let mut text = String::new();
    let outcome = follow(command, limit, |line| {
        text.push_str(line);
        text.push('\n');
    });
    drop(io::stdout().lock().write_all(text.as_bytes()));
    outcome
}

fn follow(mut command: Command, limit: Duration, mut show: impl FnMut(&str)) -> Outcome {
    let mut outcome = Outcome::default();
    let (reader, writer) = match io::pipe() {
        Ok(ends) => ends,
        Err(e) => return Outcome::of(Err(format!("no pipe: {e}"))),
    };
    match writer.try_clone() {
        Ok(copy) => drop(command.stdout(copy).stderr(writer)),
        Err(e) => return Outcome::of(Err(format!("no pipe: {e}"))),
    }
    command.stdin(Stdio::null());
    if io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    } else {
        command.env("TERM", "dumb");
    }
    let name = format!("{command:?}");
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => return Outcome::of(Err(format!("{name}: {e}"))),
    };
    drop(command); // It holds the writing ends of the pipe.

    let (lines, incoming) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + limit;
    let mut ended: Option<Instant> = None;
    loop {
        match incoming.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                outcome.count(&line);
                show(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        match ended {
            // What it started may hold the pipe open and must not hold us.
            Some(at) if at.elapsed() > Duration::from_secs(5) => {
                outcome.notes.push("a process that it started was still running at its end".into());
                break;
            }
            Some(_) => {}
            None if !matches!(child.try_wait(), Ok(None)) => ended = Some(Instant::now()),
            None if Instant::now() > deadline => {
                outcome.notes.push(format!("killed after {} minutes", limit.as_secs() / 60));
                testkit::kill_tree(child.id());
                ended = Some(Instant::now());
            }
            None => {}
        }
    }
    outcome.ok = child.wait().is_ok_and(|status| status.success()) && outcome.failed == 0;
    outcome
}

impl Outcome {
    /// Adds what another command reported.
    pub(crate) fn add(&mut self, other: Self) {
        self.ok &= other.ok;
        self.passed += other.passed;
        self.failed += other.failed;
        self.notes.extend(other.notes);
    }

    /// Takes the counts from libtest's closing lines, and the names of what failed.
    fn count(&mut self, line: &str) {
        let line = plain(line);
        if let Some(counts) = line.trim_start().strip_prefix("test result: ") {
            self.passed += number_before(counts, " passed");
            self.failed += number_before(counts, " failed");
        } else if let Some(rest) = line.strip_prefix("test ")
            && let Some((name, _)) = rest.split_once(" ... FAILED")
        {
            self.notes.push(format!("test {name}"));
        } else if line.starts_with("running ") {
            self.testing = true;
        } else if !self.testing
            && line.starts_with("error")
            && !line.contains("test failed")
            && self.notes.len() < 20
        {
            self.notes.push(line);
        }
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    before.rsplit(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The line without terminal colours.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_libtest_prints() {
        let mut outcome = Outcome::default();
        for line in [
            "error[E0000]: the compiler's",
            "\u{1b}[1mrunning 3 tests\u{1b}[0m",
            "error: a test's own words",
            "test a::b ... ok",
            "test a::c ... \u{1b}[31mFAILED\u{1b}[0m",
            "test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 5 filtered out; finished in 0.1s",
            "test result: ok. 30 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out",
        ] {
            outcome.count(line);
        }
        assert_eq!((outcome.passed, outcome.failed), (42, 1));
        assert_eq!(outcome.notes, ["error[E0000]: the compiler's", "test a::c"]);
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]);
        let started = Instant::now();
        let outcome = stream(command, Duration::from_millis(200));
        assert!(!outcome.ok);
        assert!(outcome.notes[0].starts_with("killed after"), "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(60));
    }
}
