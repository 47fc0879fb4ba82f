//! Where the project is and what it consists of.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Result;

/// The workspace root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A cargo command that runs in the workspace root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a command and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let done = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(format!("{command:?} ended with {}\n{}", done.status, String::from_utf8_lossy(&done.stderr)))
    }
}

/// One member of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) published: bool,
    pub(crate) features: Vec<String>,
    targets: Vec<(String, String)>,
}

impl Member {
    /// Whether it has a target of this kind (`test`, `bench`, `example`) and name.
    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.targets.iter().any(|(k, n)| k == kind && n == name)
    }
}

/// The members, by `cargo metadata`.
pub(crate) fn members() -> Result<Vec<Member>> {
    let json = metadata()?;
    let packages = json["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    Ok(packages.iter().map(member).collect())
}

fn member(package: &Value) -> Member {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let targets = list(&package["targets"])
        .iter()
        .flat_map(|target| {
            let name = text(&target["name"]);
            list(&target["kind"]).iter().map(|kind| (text(kind), name.clone())).collect::<Vec<_>>()
        })
        .collect();
    Member {
        name: text(&package["name"]),
        // `publish = false` is an empty list of registries.
        published: package["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        features: package["features"]
            .as_object()
            .map(|map| map.keys().cloned().collect())
            .unwrap_or_default(),
        targets,
    }
}

fn metadata() -> Result<Value> {
    let text = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).map_err(|e| format!("cargo metadata: {e}"))
}

/// Cargo's target directory.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let json = metadata()?;
    json["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo names no target directory".into())
}
