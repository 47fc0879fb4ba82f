//! Every law has one statement in the source, and the documentation lists them all.
//!
//! `AETH_BLESS=1` writes the list anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::conformance;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The statements of one suite, by law.
fn statements(root: &Path, suite: &str) -> BTreeMap<String, String> {
    let mut files = Vec::new();
    let directory = root.join(suite);
    if directory.is_dir() {
        sources(&directory, &mut files);
    } else {
        files.push(root.join(format!("{suite}.rs")));
    }
    let mut statements = BTreeMap::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(first) = line.strip_prefix("/// law: ") else { continue };
            let mut statement = first.to_owned();
            for line in lines.by_ref() {
                let Some(more) = line.strip_prefix("///") else { break };
                statement.push_str(more);
            }
            let (name, said) = statement.split_once(". ").unwrap_or_else(|| panic!("{first:?} says nothing"));
            let twice = statements.insert(name.to_owned(), said.to_owned());
            assert_eq!(twice, None, "{name} is stated twice");
        }
    }
    statements
}

fn section(root: &Path, suite: &str, laws: &[&'static str]) -> String {
    let mut statements = statements(root, suite);
    let mut text = format!("\n## `{suite}`\n\n");
    for law in laws {
        let said = statements.remove(*law).unwrap_or_else(|| panic!("{suite}: {law} is not stated"));
        text.push_str(&format!("- **{law}**: {said}\n"));
    }
    assert!(statements.is_empty(), "{suite}: stated, but not in the table: {statements:?}");
    text
}

macro_rules! names {
    ($suite:ident) => {
        (stringify!($suite), conformance::$suite::LAWS.iter().map(|law| law.name()).collect::<Vec<_>>())
    };
}

#[test]
fn the_documentation_lists_every_law() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let mut text = String::from("\n# The laws\n");
    for (suite, laws) in [
        names!(blob_store),
        names!(cache_tier),
        names!(backup_sink),
        names!(metrics_source),
        names!(health_check),
        names!(backplane),
        names!(leader_lock),
    ] {
        text.push_str(&section(&root, suite, &laws));
    }
    let file = root.join("laws.md");
    if std::env::var_os("AETH_BLESS").is_some() {
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == text, "laws.md is not what the source says: run this test with AETH_BLESS=1");
}
