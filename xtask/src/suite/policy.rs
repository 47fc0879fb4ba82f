//! What `deny.toml` says, read without a TOML parser: the file keeps one entry a line.

use std::fs;

use crate::{Result, workspace};

/// The lists that the dependency gate holds against the tree.
pub(crate) struct Policy {
    pub(crate) licences: Vec<String>,
    pub(crate) banned: Vec<String>,
    /// Crates that may be there twice, as `name@version` (or its leading numbers) or `name`.
    pub(crate) duplicates: Vec<String>,
}

impl Policy {
    /// Whether this version may stand beside another of the same crate.
    pub(crate) fn may_be_extra(&self, name: &str, version: &str) -> bool {
        self.duplicates.iter().any(|entry| match entry.split_once('@') {
            Some((n, v)) => {
                n == name && version.strip_prefix(v).is_some_and(|r| r.is_empty() || r.starts_with('.'))
            }
            None => entry == name,
        })
    }
}

/// Reads `deny.toml`.
pub(crate) fn read() -> Result<Policy> {
    let path = workspace::root().join("deny.toml");
    let text = fs::read_to_string(&path).map_err(|e| format!("deny.toml: {e}"))?;
    let licences = list(&text, "licenses", "allow");
    if licences.is_empty() {
        return Err("deny.toml allows no licence: its form has changed, one entry a line is read".into());
    }
    Ok(Policy { licences, banned: list(&text, "bans", "deny"), duplicates: list(&text, "bans", "skip") })
}

/// The first quoted string of each line of `key = [ … ]` in `[section]`.
fn list(text: &str, section: &str, key: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .skip_while(|line| *line != format!("[{section}]"))
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .skip_while(|line| *line != format!("{key} = ["))
        .skip(1)
        .take_while(|line| *line != "]")
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('"').nth(1).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_permits_the_versions_that_it_names() {
        let duplicates = ["a@0.2", "b@1.2.3", "c"].map(str::to_owned).into();
        let policy = Policy { licences: Vec::new(), banned: Vec::new(), duplicates };
        for (name, version) in [("a", "0.2.17"), ("a", "0.2"), ("b", "1.2.3"), ("c", "9.0.0")] {
            assert!(policy.may_be_extra(name, version), "{name} {version}");
        }
        for (name, version) in [("a", "0.20.0"), ("a", "0.3.0"), ("b", "1.2.4"), ("d", "0.2.0")] {
            assert!(!policy.may_be_extra(name, version), "{name} {version}");
        }
    }

    #[test]
    fn reads_one_entry_a_line() {
        let text = "[a]\ndeny = [\n\"no\",\n]\n[bans]\nskip = [\n]\n# c\ndeny = [\n    # why\n    { crate = \"x\", reason = \"r\" },\n    \"y\",\n]\n";
        assert_eq!(list(text, "bans", "deny"), ["x", "y"]);
        assert_eq!(list(text, "a", "deny"), ["no"]);
        assert!(list(text, "bans", "skip").is_empty());
        assert!(list(text, "a", "skip").is_empty());
    }
}
