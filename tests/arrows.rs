//! What the workspace promises about itself: who depends on whom, how long a file may be, what is documented.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const CORE: &str = "aeth-core";
const UMBRELLA: &str = "aetherius";
/// One compares against competitors, the other shows ours to another ecosystem: they may know everything.
const OUTSIDE: [&str; 2] = ["aeth-vs", "parquet-scan"];
/// Production lines of a file, at most.
const LINES: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Package {
    name: String,
    published: bool,
    dir: PathBuf,
    /// Name, whether it is a member, whether it is for tests only.
    dependencies: Vec<(String, bool, bool)>,
}

fn packages() -> Vec<Package> {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages: Vec<Package> = json["packages"].as_array().unwrap().iter().map(package).collect();
    assert!(packages.len() >= 9, "cargo metadata lists {} packages", packages.len());
    packages
}

fn package(json: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let dependency = |d: &Value| (text(&d["name"]), d["path"].is_string(), d["kind"] == "dev");
    Package {
        name: text(&json["name"]),
        published: json["publish"].as_array().is_none_or(|registries| !registries.is_empty()),
        dir: Path::new(json["manifest_path"].as_str().unwrap()).parent().unwrap().into(),
        dependencies: json["dependencies"].as_array().unwrap().iter().map(dependency).collect(),
    }
}

#[test]
fn members_know_only_the_core_and_the_umbrella_knows_all() {
    let packages = packages();
    let published: BTreeSet<&str> =
        packages.iter().filter(|p| p.published).map(|p| p.name.as_str()).collect();
    for package in packages.iter().filter(|p| !OUTSIDE.contains(&p.name.as_str())) {
        for (name, _, _) in package.dependencies.iter().filter(|(_, member, dev)| *member && !dev) {
            let allowed = match package.name.as_str() {
                CORE => false,
                UMBRELLA => published.contains(name.as_str()),
                _ if package.published => name == CORE,
                // The tools stand apart from what they test.
                _ => !published.contains(name.as_str()),
            };
            assert!(allowed, "{} must not depend on {name}", package.name);
        }
    }
    let umbrella = packages.iter().find(|p| p.name == UMBRELLA).unwrap();
    let known: BTreeSet<&str> = umbrella
        .dependencies
        .iter()
        .filter(|(_, member, dev)| *member && !dev)
        .map(|(n, _, _)| n.as_str())
        .collect();
    let members: BTreeSet<&str> = published.iter().copied().filter(|name| *name != UMBRELLA).collect();
    assert_eq!(known, members, "the umbrella knows every published member");
}

#[test]
fn every_member_takes_the_workspace_lints() {
    for package in packages() {
        let manifest = fs::read_to_string(package.dir.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has no workspace lints", package.name);
    }
}

#[test]
fn no_production_file_is_too_long() {
    let mut seen = 0;
    for package in packages().iter().filter(|p| p.published) {
        for file in rust_files(&package.dir.join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
            let shown = file.strip_prefix(root()).unwrap().display();
            assert!(lines <= LINES, "{shown} has {lines} production lines; {LINES} is the most");
            seen += 1;
        }
    }
    assert!(seen >= 7, "only {seen} files were looked at");
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files
}

/// The page has one row for each direct dependency, in the form of a row, and no row for anything else.
#[test]
fn the_page_on_dependencies_has_a_row_for_each_and_no_other() {
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let wanted: BTreeSet<String> = packages()
        .into_iter()
        .filter(|package| package.published)
        .flat_map(|package| package.dependencies)
        .filter(|(_, member, dev)| !member && !dev)
        .map(|(name, _, _)| name)
        .collect();
    let mut documented = BTreeSet::new();
    for (number, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if line.starts_with("|---") || cells[0] == "crate" || cells.len() != 2 {
            // The heads, and the table of what it costs.
            continue;
        }
        let name = cells[0].strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        let name = name.unwrap_or_else(|| panic!("line {}: no crate is named: {line}", number + 1));
        assert!(cells[1].len() > 10, "line {}: no reason: {line}", number + 1);
        assert!(documented.insert(name.to_owned()), "line {}: `{name}` has two rows", number + 1);
    }
    assert_eq!(documented, wanted, "docs/dependencies.md and the manifests");
}

#[test]
fn the_page_on_dependencies_counts_the_default_build() {
    let out = Command::new(env!("CARGO"))
        .args(["tree", "-p", UMBRELLA, "-e", "normal,build", "--prefix", "none", "--no-dedupe", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let tree = String::from_utf8(out.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    for name in [
        "openssl",
        "openssl-sys",
        "native-tls",
        "ring",
        "reqwest",
        "hyper",
        "object_store",
        "opendal",
        "redis",
    ] {
        let found = crates.iter().any(|line| line.split(' ').next() == Some(name));
        assert!(!found, "the default features bring {name}");
    }
    let page = fs::read_to_string(root().join("docs/dependencies.md")).unwrap();
    let row = page.lines().find(|line| line.starts_with("| default features")).unwrap();
    let count: usize = row.split('|').nth(2).unwrap().trim().parse().unwrap();
    assert_eq!(count, crates.len(), "the count of crates in docs/dependencies.md");
}

#[test]
fn no_tracked_file_names_a_machine() {
    // Put together here, so that this file does not hold them.
    let marks = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/main"),
        concat!("/wo", "rk/shared"),
        concat!(".cargo/", "registry"),
    ];
    let files = tracked();
    assert!(files.len() > 30, "only {} files are tracked", files.len());
    for file in files {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for mark in marks {
            assert!(!text.contains(mark), "{} holds `{mark}`", file.display());
        }
    }
}

#[test]
fn no_tracked_file_holds_marks_of_a_merge() {
    for file in tracked() {
        let Ok(text) = fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            let mark = ['<', '>', '|'].iter().any(|mark| {
                line.strip_prefix(mark.to_string().repeat(7).as_str())
                    .is_some_and(|rest| rest.starts_with(' '))
            });
            assert!(!mark, "{}:{} is a mark of a merge", file.display(), number + 1);
        }
    }
}

/// What git tracks; in an unpacked archive without git, everything outside of the target directory.
fn tracked() -> Vec<PathBuf> {
    let git =
        Command::new("git").args(["-c", "safe.directory=*", "ls-files", "-z"]).current_dir(root()).output();
    if let Ok(out) = git
        && out.status.success()
    {
        let names = String::from_utf8(out.stdout).unwrap();
        return names.split_terminator('\0').map(PathBuf::from).collect();
    }
    let mut files = Vec::new();
    let mut open = vec![root().to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && name != "target" && name != ".git" => open.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path().strip_prefix(root()).unwrap().into()),
                _ => {}
            }
        }
    }
    files
}
