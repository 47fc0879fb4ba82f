//! The tests: built once, then several test binaries side by side. Most of their time they wait for a server to
//! start, to hang or to come back, and cargo runs one binary after the other. The documentation's tests run beside
//! them.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::run::{self, Outcome};
use crate::workspace;

const LIMIT: Duration = Duration::from_secs(15 * 60);
/// These wait for servers most of the time, which answer one request after the other.
const FIRST: &[&str] = &["engines", "distributed"];
/// What every step covers.
const ALL: &[&str] = &["--workspace", "--all-features"];

/// One test binary.
#[derive(Debug, PartialEq, Eq)]
struct Binary {
    package: String,
    target: String,
    program: PathBuf,
    /// Tests run in the directory of their package, as under cargo.
    dir: PathBuf,
}

/// Builds and runs everything, or what `filter` is in the names of.
pub(crate) fn run(python: &Path, filter: Option<&str>) -> Outcome {
    let mut binaries = match build() {
        Ok(binaries) => binaries,
        Err(why) => return Outcome::of(Err(why)),
    };
    // The last one to end must not have begun last. Large programs run long.
    binaries.sort_by_key(|binary| {
        let length = binary.program.metadata().map_or(0, |file| file.len());
        Reverse((FIRST.contains(&binary.target.as_str()), length))
    });
    let workers = std::thread::available_parallelism().map_or(4, |cores| cores.get() * 2);
    let total = Mutex::new(Outcome::of(Ok(Vec::new())));
    let left = Mutex::new(binaries.into_iter());
    let next = || left.lock().ok().and_then(|mut left| left.next());
    let collect = |outcome| {
        if let Ok(mut total) = total.lock() {
            total.add(outcome);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| collect(documentation(python, filter)));
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(binary) = next() {
                    collect(binary.run(python, filter));
                }
            });
        }
    });
    total.into_inner().unwrap_or_default()
}

/// The examples in the documentation: cargo builds them itself, while the others wait for their servers.
fn documentation(python: &Path, filter: Option<&str>) -> Outcome {
    let mut command = workspace::cargo(&["test", "--doc", "--no-fail-fast"]);
    command.args(ALL).env("AETH_PYTHON", python);
    if let Some(filter) = filter {
        command.args(["--", filter]);
    }
    let started = Instant::now();
    let outcome = run::captured(command, LIMIT);
    println!("documentation: {:.1?}", started.elapsed());
    outcome
}

impl Binary {
    fn run(&self, python: &Path, filter: Option<&str>) -> Outcome {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir).env("AETH_PYTHON", python);
        command.args(filter);
        let started = Instant::now();
        let mut outcome = run::captured(command, LIMIT);
        println!("{} {}: {:.1?}", self.package, self.target, started.elapsed());
        // A binary that died, or was killed, counted nothing.
        if !outcome.ok && outcome.failed == 0 {
            outcome.failed = 1;
            outcome.notes.push(format!("{} {} did not end by itself", self.package, self.target));
        }
        outcome
    }
}

/// Builds the tests, and the examples, which tests run.
fn build() -> Result<Vec<Binary>, String> {
    let mut command = workspace::cargo(&["test", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(ALL).stderr(Stdio::inherit());
    parse(&workspace::output(&mut command)?)
}

fn parse(messages: &str) -> Result<Vec<Binary>, String> {
    let mut binaries = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).map_err(|e| format!("cargo said {line}: {e}"))?;
        if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
            continue;
        }
        let Some(program) = message["executable"].as_str() else { continue };
        let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
        let dir = manifest.parent().unwrap_or(Path::new("."));
        binaries.push(Binary {
            package: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            target: message["target"]["name"].as_str().unwrap_or_default().to_owned(),
            program: program.into(),
            dir: dir.into(),
        });
    }
    if binaries.is_empty() { Err("cargo built no test".into()) } else { Ok(binaries) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_test_binaries_among_what_cargo_says() {
        let messages = r#"{"reason":"compiler-artifact","manifest_path":"/p/a/Cargo.toml","target":{"name":"t"},"profile":{"test":true},"executable":"/p/target/t-1"}
{"reason":"compiler-artifact","manifest_path":"/p/a/Cargo.toml","target":{"name":"e"},"profile":{"test":false},"executable":"/p/target/e"}
{"reason":"compiler-artifact","manifest_path":"/p/a/Cargo.toml","target":{"name":"a"},"profile":{"test":true},"executable":null}
{"reason":"build-finished","success":true}"#;
        let found = parse(messages).unwrap();
        let wanted = Binary {
            package: "a".into(),
            target: "t".into(),
            program: "/p/target/t-1".into(),
            dir: "/p/a".into(),
        };
        assert_eq!(found, [wanted]);
        assert!(parse("").is_err());
    }
}
