//! Who may do what where.

use std::collections::BTreeSet;

/// What a call does to a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Action {
    /// Reading bytes and metadata.
    Read,
    /// Writing, and being the target of a copy or rename.
    Write,
    /// Deleting, and being the source of a rename.
    Delete,
    /// Being seen in listings.
    List,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Delete, Self::List];

    /// The action in words, as it stands in messages and audit records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// To whom a rule applies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Everybody.
    Anyone,
    /// The principal of this name.
    Named(String),
}

/// One rule: these principals may, or may not, do these things to the blobs below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessRule {
    /// To whom it applies.
    pub principal: Principal,
    /// What it is about.
    pub actions: BTreeSet<Action>,
    /// The start of the paths that it is about, byte by byte: end it with `/` to mean a directory. Empty: all.
    pub prefix: String,
    /// Whether it allows or forbids.
    pub allows: bool,
}

impl AccessRule {
    /// Allows a principal these actions everywhere.
    #[must_use]
    pub fn allow(principal: impl Into<String>, actions: impl IntoIterator<Item = Action>) -> Self {
        Self {
            principal: Principal::Named(principal.into()),
            actions: actions.into_iter().collect(),
            prefix: String::new(),
            allows: true,
        }
    }

    /// Forbids a principal these actions everywhere.
    #[must_use]
    pub fn deny(principal: impl Into<String>, actions: impl IntoIterator<Item = Action>) -> Self {
        Self { allows: false, ..Self::allow(principal, actions) }
    }

    /// Makes it apply to everybody.
    #[must_use]
    pub fn for_anyone(mut self) -> Self {
        self.principal = Principal::Anyone;
        self
    }

    /// Makes it apply to paths that start with this text.
    #[must_use]
    pub fn below(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    fn concerns(&self, principal: &str, action: Action) -> bool {
        let named = match &self.principal {
            Principal::Anyone => true,
            Principal::Named(name) => name == principal,
        };
        named && self.actions.contains(&action)
    }
}

/// The rules. What no rule allows is forbidden, and a rule that forbids beats all that allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AccessPolicy {
    /// The rules; their order does not matter.
    pub rules: Vec<AccessRule>,
}

impl AccessPolicy {
    /// These rules.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = AccessRule>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// Whether a principal may do this to the blob at a path.
    #[must_use]
    pub fn permits(&self, principal: &str, action: Action, path: &str) -> bool {
        let mut allowed = false;
        for rule in self.rules.iter().filter(|rule| rule.concerns(principal, action)) {
            if path.starts_with(&rule.prefix) {
                if !rule.allows {
                    return false;
                }
                allowed = true;
            }
        }
        allowed
    }

    /// Whether some blob below a prefix may be one that the principal may do this to.
    #[must_use]
    pub fn may_permit_below(&self, principal: &str, action: Action, prefix: &str) -> bool {
        let mut concerned = self.rules.iter().filter(|rule| rule.concerns(principal, action));
        let hidden = concerned.clone().any(|rule| !rule.allows && prefix.starts_with(&rule.prefix));
        let touches = |rule: &AccessRule| prefix.starts_with(&rule.prefix) || rule.prefix.starts_with(prefix);
        !hidden && concerned.any(|rule| rule.allows && touches(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forbidding_beats_allowing_and_nothing_is_allowed_by_itself() {
        let policy = AccessPolicy::new([
            AccessRule::allow("ann", Action::ALL).below("teams/a/"),
            AccessRule::allow("", [Action::Read]).for_anyone().below("public/"),
            AccessRule::deny("ann", [Action::Delete]).below("teams/a/kept/"),
        ]);
        assert!(policy.permits("ann", Action::Write, "teams/a/x"));
        assert!(!policy.permits("ann", Action::Write, "teams/ax"));
        assert!(policy.permits("ann", Action::Delete, "teams/a/x"));
        assert!(!policy.permits("ann", Action::Delete, "teams/a/kept/x"));
        assert!(
            policy.permits("ben", Action::Read, "public/x")
                && !policy.permits("ben", Action::Write, "public/x")
        );
        assert!(policy.may_permit_below("ann", Action::List, "teams/"));
        assert!(!policy.may_permit_below("ben", Action::List, "teams/"));
        assert!(!policy.may_permit_below("ann", Action::Delete, "teams/a/kept/y"));
    }
}
