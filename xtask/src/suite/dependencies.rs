//! The dependency gates: what must not be in the tree, licences, duplicates. `cargo deny` knows more
//! (advisories among it) and is welcome; these hold without it and without a network.

use std::collections::{BTreeMap, BTreeSet};

use super::licence::permitted;
use super::policy;
use crate::{Result, workspace};

/// What only the cloud features may bring.
const NOT_BY_DEFAULT: &[&str] = &["reqwest", "hyper", "object_store", "opendal", "redis"];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

/// Holds the tree against `deny.toml`; gives what to note, or what is wrong.
pub(crate) fn check() -> Result<Vec<String>> {
    let policy = policy::read()?;
    let embedded = tree(&["-p", "aetherius"])?;
    let everything = tree(&["--workspace", "--all-features"])?;
    let mut wrong = Vec::new();

    for found in &embedded {
        if NOT_BY_DEFAULT.contains(&found.name.as_str()) {
            wrong.push(format!("the default features bring {} {}", found.name, found.version));
        }
    }
    for found in &everything {
        if policy.banned.contains(&found.name) {
            wrong.push(format!("{} {} is banned by deny.toml", found.name, found.version));
        }
        if !permitted(&found.licence, &policy.licences) {
            wrong.push(format!("{} {} has the licence `{}`", found.name, found.version, found.licence));
        }
    }
    for (name, versions) in versions(&everything) {
        let excess: Vec<&str> =
            versions.iter().copied().filter(|version| !policy.may_be_extra(name, version)).collect();
        if versions.len() > 1 && excess.len() > 1 {
            wrong.push(format!(
                "{name} is there more than once ({versions:?}) and not in deny.toml's skip list"
            ));
        }
    }
    println!(
        "default features: {} crates; all features, tests and tools: {}",
        embedded.len(),
        everything.len()
    );
    if wrong.is_empty() {
        Ok(vec![format!("{} crates by default", embedded.len())])
    } else {
        Err(wrong.join("\n"))
    }
}

/// The crates that are built for a selection, ours left out.
fn tree(selection: &[&str]) -> Result<BTreeSet<Crate>> {
    let mut command = workspace::cargo(&["tree", "-e", "normal,build", "--prefix", "none", "--no-dedupe"]);
    command.args(["--format", "{p}\t{l}"]).args(selection);
    Ok(parse(&workspace::output(&mut command)?))
}

fn parse(lines: &str) -> BTreeSet<Crate> {
    lines
        .lines()
        .filter(|line| !line.contains("(/")) // a path: a member
        .filter_map(|line| {
            let (package, licence) = line.split_once('\t')?;
            let mut words = package.split_whitespace();
            let name = words.next()?.to_owned();
            let version = words.next()?.trim_start_matches('v').to_owned();
            // `(*)` marks a repetition.
            let licence = licence.trim_end_matches("(*)").trim().to_owned();
            Some(Crate { name, version, licence })
        })
        .collect()
}

fn versions(crates: &BTreeSet<Crate>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for found in crates {
        versions.entry(&found.name).or_default().insert(&found.version);
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cargo_tree() {
        let text = "us v0.1.0 (/there)\tMIT\nsyn v2.0.1\tMIT OR Apache-2.0\nsyn v3.0.0 (proc-macro)\tMIT\nsyn v2.0.1\tMIT OR Apache-2.0 (*)\n";
        let found = parse(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(versions(&found)["syn"].len(), 2);
    }
}
