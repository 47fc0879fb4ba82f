//! Migrations: steps of a schema, embedded in the program.

use aeth_core::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// The steps of one schema. Several schemas (the host's, a library's) live in one database, each under its own
/// name.
///
/// What was applied is kept in the table `aeth_migrations` (schema, version, name, checksum, applied_at). A step
/// that was applied must never change: its text's SHA-256 is compared, with line ends taken as `\n`.
///
/// ```
/// use aeth_db::Migrations;
/// let migrations = Migrations::new("app")
///     .step(1, "users", "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
///     .step(2, "mail", "ALTER TABLE users ADD COLUMN mail TEXT");
/// assert_eq!(migrations.latest(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct Migrations {
    schema: Cow<'static, str>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) version: u32,
    pub(crate) name: Cow<'static, str>,
    pub(crate) sql: Cow<'static, str>,
}

/// What a step's row says.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) version: u32,
    pub(crate) name: String,
    pub(crate) checksum: String,
}

/// What a migration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The version before; 0 for none.
    pub from: u32,
    /// The version now.
    pub to: u32,
}

impl Migrations {
    /// A schema without steps.
    pub fn new(schema: impl Into<Cow<'static, str>>) -> Self {
        Self { schema: schema.into(), steps: Vec::new() }
    }

    /// Adds a step: one or more statements, run in one transaction with all the other new steps.
    #[must_use]
    pub fn step(
        mut self,
        version: u32,
        name: impl Into<Cow<'static, str>>,
        sql: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.steps.push(Step { version, name: name.into(), sql: sql.into() });
        self
    }

    /// The schema's name.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The version after the last step; 0 without steps.
    #[must_use]
    pub fn latest(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.version)
    }

    /// The steps that are to be applied.
    ///
    /// # Errors
    /// `Invalid` when the steps are not numbered 1, 2, 3, …; `Precondition` when the database is ahead of the
    /// program; `Corrupt` when an applied step differs from the program's.
    pub(crate) fn plan(&self, applied: &[Applied]) -> Result<&[Step]> {
        let failed = |kind, message: String| {
            Error::new(kind, message).with_operation("migrate").with_key(&self.schema)
        };
        for (expected, step) in (1_u32..).zip(&self.steps) {
            if step.version != expected {
                let message = format!("step {} stands where {expected} must be", step.version);
                return Err(failed(ErrorKind::Invalid, message)
                    .with_remedy("number the steps 1, 2, 3, … without gaps"));
            }
        }
        for (expected, row) in (1_u32..).zip(applied) {
            if row.version != expected {
                let message = format!("step {expected} is missing from what was applied");
                return Err(failed(ErrorKind::Corrupt, message));
            }
            let Some(step) = self.steps.get(row.version as usize - 1) else {
                let message =
                    format!("the database is at step {}, the program knows {}", applied.len(), self.latest());
                return Err(failed(ErrorKind::Precondition, message)
                    .with_remedy("run the newer program, or restore a backup from before the upgrade"));
            };
            if step.checksum() != row.checksum {
                let message =
                    format!("step {} (`{}`) is not the one that was applied", row.version, row.name);
                return Err(failed(ErrorKind::Corrupt, message)
                    .with_remedy("put the old text back and add a new step instead"));
            }
        }
        Ok(self.steps.get(applied.len()..).unwrap_or_default())
    }
}

impl Step {
    /// SHA-256 of the text, in hexadecimal digits.
    pub(crate) fn checksum(&self) -> String {
        let digest = Sha256::digest(self.sql.replace("\r\n", "\n").as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl MigrationReport {
    pub(crate) fn new(from: u32, to: u32) -> Self {
        Self { from, to }
    }
}
