//! What is asked.

use crate::error::from_sqlx;
use aeth_core::{Error, Key, Result};
use sha2::{Digest, Sha256};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::{Arguments, Encode, Postgres, Type, TypeInfo};
use std::borrow::Cow;

/// A query whose result may be kept: one statement that only reads, and its values.
#[derive(Debug)]
pub struct CachedQuery {
    pub(super) sql: Cow<'static, str>,
    pub(super) arguments: PgArguments,
    pub(super) types: Vec<PgTypeInfo>,
    digest: Sha256,
    failure: Option<BoxDynError>,
    pub(super) deterministic: bool,
}

impl CachedQuery {
    /// A statement; its values are `$1`, `$2`, ….
    #[must_use]
    pub fn new(sql: &'static str) -> Self {
        Self {
            sql: sql.into(),
            arguments: PgArguments::default(),
            types: Vec::new(),
            digest: Sha256::new(),
            failure: None,
            deterministic: false,
        }
    }

    /// Binds the next value.
    #[must_use]
    pub fn bind<'q, T>(mut self, value: T) -> Self
    where
        T: Encode<'q, Postgres> + Type<Postgres>,
    {
        let kind = value.produces().unwrap_or_else(T::type_info);
        let mut bytes = PgArgumentBuffer::default();
        let null = match value.encode_by_ref(&mut bytes) {
            Ok(null) => null,
            Err(error) => {
                self.failure.get_or_insert(error);
                return self;
            }
        };
        self.digest.update(kind.name());
        self.digest.update([0, u8::from(matches!(null, IsNull::Yes))]);
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes.as_slice());
        self.types.push(kind);
        if let Err(error) = self.arguments.add(value) {
            self.failure.get_or_insert(error);
        }
        self
    }

    /// Declares that its result depends on nothing but its values and the watched tables, whatever functions it calls,
    /// and that row-level security shows every asker of this handle the same rows. Then it is not refused for these.
    #[must_use]
    pub fn deterministic(mut self) -> Self {
        self.deterministic = true;
        self
    }

    /// Under which name the result is kept.
    pub(super) fn key<T>(&self, who: &str, timeline: u32) -> Result<Key> {
        if let Some(error) = &self.failure {
            return Err(
                Error::invalid("a value of the query cannot be encoded").with_source(error.to_string())
            );
        }
        let digest = self
            .digest
            .clone()
            .chain_update((self.sql.len() as u64).to_le_bytes())
            .chain_update(self.sql.as_bytes())
            .chain_update((who.len() as u64).to_le_bytes())
            .chain_update(who.as_bytes())
            // After a promotion numbers of transactions may mean others.
            .chain_update(timeline.to_le_bytes())
            // The same statement may be read into several types.
            .chain_update(std::any::type_name::<T>())
            .finalize();
        Key::new(digest.as_slice()).map_err(Error::from)
    }

    /// Words that are followed by a parenthesis, or that are functions without one.
    pub(super) fn functions(sql: &str) -> Vec<String> {
        let lower = sql.to_lowercase();
        let mut names = Vec::new();
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut rest = lower.as_str();
        while let Some(start) = rest.find(is_word) {
            rest = rest.get(start..).unwrap_or_default();
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let called = after.trim_start_matches(|c: char| c.is_whitespace() || c == '"').starts_with('(');
            if called {
                names.push(word.to_owned());
            }
            rest = after;
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A word by which a statement reads the time without calling a function.
    pub(super) fn times(sql: &str) -> Option<&'static str> {
        const WORDS: &[&str] = &["current_date", "current_time", "localtime"];
        const TEXTS: &[&str] = &["'now'", "'today'", "'tomorrow'", "'yesterday'"];
        let lower = sql.to_lowercase();
        WORDS.iter().chain(TEXTS).find(|word| lower.contains(**word)).copied()
    }

    pub(super) fn failed(error: sqlx::Error) -> Error {
        from_sqlx(error).with_component("query-cache")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_differ_have_keys_that_differ() {
        let keys = [
            CachedQuery::new("SELECT $1").bind(1_i32).key::<(i32,)>("a", 1),
            CachedQuery::new("SELECT $1").bind(1_i64).key::<(i32,)>("a", 1),
            CachedQuery::new("SELECT $1").bind(2_i32).key::<(i32,)>("a", 1),
            CachedQuery::new("SELECT $1").bind(None::<i32>).key::<(i32,)>("a", 1),
            CachedQuery::new("SELECT $1 ").bind(1_i32).key::<(i32,)>("a", 1),
            CachedQuery::new("SELECT $1").bind(1_i32).key::<(i64,)>("a", 1),
            CachedQuery::new("SELECT $1").bind(1_i32).key::<(i32,)>("b", 1),
            CachedQuery::new("SELECT $1").bind(1_i32).key::<(i32,)>("a", 2),
            CachedQuery::new("SELECT $1, $2").bind("ab").bind("c").key::<(i32,)>("a", 1),
            CachedQuery::new("SELECT $1, $2").bind("a").bind("bc").key::<(i32,)>("a", 1),
        ];
        let keys: std::collections::HashSet<Key> = keys.into_iter().map(Result::unwrap).collect();
        assert_eq!(keys.len(), 10);
    }

    #[test]
    fn the_time_is_seen() {
        for sql in ["SELECT CURRENT_TIMESTAMP", "SELECT * FROM t WHERE at > 'Yesterday'"] {
            assert!(CachedQuery::times(sql).is_some(), "{sql}");
        }
        assert_eq!(CachedQuery::times("SELECT * FROM t WHERE at > $1"), None);
    }

    #[test]
    fn functions_are_seen() {
        let names =
            CachedQuery::functions("SELECT Random (), a.b, \"lower\"(c), CURRENT_DATE FROM t WHERE x IN (1)");
        assert_eq!(names, ["in", "lower", "random"]);
    }
}
