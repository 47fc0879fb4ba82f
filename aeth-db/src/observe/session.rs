//! Statements whose effect outlives them: the next holder of the connection must not meet it.

/// What may outlive a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Lasting {
    /// An open transaction.
    pub(crate) transaction: bool,
    /// Something in the session.
    pub(crate) session: bool,
}

/// First words of statements that open a transaction.
const OPENING: &[&str] = &["begin", "start"];

/// First words of statements that change the session.
const FIRST: &[&str] = &["set", "reset", "listen", "prepare", "declare", "discard", "load"];

/// What such a thing looks like in the middle of a statement.
const WITHIN: &[&str] = &[
    "pg_advisory_lock",
    "pg_try_advisory_lock",
    "set_config",
    "create temp",
    "create local temp",
    "create global temp",
    "into temp",
    "with hold",
];

/// What a statement, in its normal form, may leave. What a function of the database does unseen is not known.
pub(super) fn lasting(normal: &str) -> Lasting {
    let begins = |words: &[&str]| {
        normal.split(';').any(|statement| {
            let word = statement.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
            word.is_some_and(|word| words.contains(&word))
        })
    };
    // The normal form is cut when it is long: what came after is not known.
    let cut = normal.ends_with('…');
    Lasting {
        transaction: cut || begins(OPENING),
        session: cut || begins(FIRST) || WITHIN.iter().any(|part| normal.contains(part)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_from_what_does_not() {
        for text in [
            "select ?; set search_path to a",
            "select pg_advisory_lock(?)",
            "create temporary table t (a int)",
            "listen \"a\"",
        ] {
            assert_eq!(lasting(text), Lasting { transaction: false, session: true }, "{text}");
        }
        assert_eq!(lasting("begin read only"), Lasting { transaction: true, session: false });
        for text in ["select ?", "update t set a = ?", "insert into settings values (?)", "commit"] {
            assert_eq!(lasting(text), Lasting::default(), "{text}");
        }
    }
}
