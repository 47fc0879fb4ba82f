//! The built `backup` and what the tests ask of it.
#![allow(dead_code, reason = "each test program uses its own part")]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use testkit::{Ended, Subject};

pub(crate) const PASSWORD: &str = "a test's own password";
const LIMIT: Duration = Duration::from_secs(300);

/// `AETH_BACKUP`, or what `cargo test` has built beside this test; under `--test NAME` alone it is built here.
pub(crate) fn binary() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("AETH_BACKUP") {
            return given.into();
        }
        let exe = std::env::current_exe().unwrap();
        let program = exe.ancestors().nth(2).unwrap().join("examples/backup");
        if !program.is_file() {
            let mut build = Command::new(env!("CARGO"));
            build
                .args(["build", "--all-features", "--example", "backup"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            assert!(build.status().unwrap().success(), "the example does not build");
        }
        program
    })
}

/// How the program is run: with which environment, and what it must never say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    environment: Vec<(&'static str, String)>,
    secrets: Vec<&'static str>,
}

impl Program {
    pub(crate) fn environment(mut self, environment: Vec<(&'static str, String)>) -> Self {
        self.environment = environment;
        self
    }

    pub(crate) fn secret(mut self, secret: &'static str) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Runs it on one or several repositories.
    pub(crate) fn run(&self, repos: &[&str], args: &[&str], password: Option<&str>) -> Ended {
        let mut command = Command::new(binary());
        for variable in ["RUST_BACKTRACE", "AETHERIUS_REPOSITORY", "AETHERIUS_PASSWORD"] {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(password) = password {
            command.env("AETHERIUS_PASSWORD", password);
        }
        command.args(args);
        for repo in repos {
            command.arg("--repo").arg(repo);
        }
        let ended = Subject::start(command).wait(LIMIT);
        let said = ended.output();
        assert!(!said.contains("panicked"), "it panicked: {said}");
        for secret in self.secrets.iter().chain([&PASSWORD]) {
            assert!(!said.contains(secret), "a secret is in: {said}");
        }
        ended
    }

    #[track_caller]
    pub(crate) fn ok(&self, repos: &[&str], args: &[&str]) -> String {
        let ended = self.run(repos, args, Some(PASSWORD));
        assert!(ended.ok(), "{args:?}: {}", ended.output());
        ended.stdout
    }

    #[track_caller]
    pub(crate) fn fails(&self, repos: &[&str], args: &[&str], code: i32, words: &[&str]) -> Ended {
        let ended = self.run(repos, args, Some(PASSWORD));
        assert_eq!(ended.code, Some(code), "{args:?}: {}", ended.output());
        for word in words {
            assert!(ended.stderr.contains(word), "{args:?} does not say {word:?}: {}", ended.output());
        }
        ended
    }
}

/// One JSON value a line.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
