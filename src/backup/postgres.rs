//! A PostgreSQL database in a restore point: dumped and restored by PostgreSQL's own tools.

use super::DUMP_AT;
use aeth_backup::{CommandSource, ExternalCommand, Source, VirtualFile};
use aeth_core::{ByteStream, Error, ErrorKind, Result, Secret};
use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// What libpq takes of a URL's parameters; the others are sqlx's.
const LIBPQ: &[&str] = &[
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "options",
    "connect_timeout",
    "target_session_attrs",
    "host",
    "port",
    "user",
    "dbname",
];
/// The most that is kept of what a tool says of its failure.
const SAID: u64 = 4 << 10;

/// `pg_dump` and `pg_restore`, and the database that they are for.
#[derive(Debug, Clone)]
pub(crate) struct PostgresTools {
    dump: PathBuf,
    restore: PathBuf,
    /// The URL without its password: arguments are seen by everybody on the machine.
    url: String,
    password: Option<Secret>,
}

impl PostgresTools {
    /// The tools for the database at a URL. `password` comes before the URL's.
    ///
    /// # Errors
    /// `Invalid` for a URL that is none; no part of it is in the error.
    pub(crate) fn new(pg_dump: &Path, url: &Secret, password: Option<&Secret>) -> Result<Self> {
        let (url, own) = without_password(url.expose_str()?)?;
        Ok(Self {
            dump: pg_dump.to_owned(),
            // With a bare name, the `PATH` finds both.
            restore: pg_dump.with_file_name("pg_restore"),
            url,
            password: password.cloned().or(own),
        })
    }

    /// The whole database as one consistent dump in PostgreSQL's custom format, not compressed, so that what has not
    /// changed is found again. Unlogged tables, which a crash empties as well, go along without their rows.
    pub(crate) fn source(&self, now: SystemTime) -> Source {
        let mut command = ExternalCommand::new(&self.dump)
            .args(["--format=custom", "--compress=0", "--no-password", "--no-unlogged-table-data"])
            .arg(format!("--dbname={}", self.url));
        if let Some(password) = &self.password {
            command = command.env("PGPASSWORD", os(password));
        }
        Source::files(DUMP_AT, CommandSource::new(VirtualFile::new("", now), command))
    }

    /// Restores a dump into the database, which must be empty: everything or nothing.
    ///
    /// # Errors
    /// What `pg_restore` says; those of the stream.
    ///
    /// # Cancel safety
    /// Cancel-safe: the transaction is rolled back.
    pub(crate) async fn restore(&self, mut dump: ByteStream) -> Result<()> {
        let shown = self.restore.display().to_string();
        let named = |error: Error| error.with_operation("restore the database").with_key(&shown);
        let mut command = Command::new(&self.restore);
        command
            .args(["--single-transaction", "--exit-on-error", "--no-password"])
            .arg(format!("--dbname={}", self.url))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", os(password));
        }
        let mut child = command.spawn().map_err(|error| {
            named(Error::from(error)).with_remedy(
                "install PostgreSQL's client programs, or name another directory's by backup.pg_dump",
            )
        })?;
        let (Some(mut input), Some(errors)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(named(Error::other("the tool has no input")));
        };
        let feed = async {
            while let Some(bytes) = dump.next().await {
                if input.write_all(&bytes?).await.is_err() {
                    // It has ended, and says why itself.
                    break;
                }
            }
            drop(input);
            Ok::<_, Error>(())
        };
        let mut said = String::new();
        let mut errors = errors.take(SAID);
        let listen = async {
            // What is no text is no message.
            drop(errors.read_to_string(&mut said).await);
            // A tool whose messages nobody takes would stand still.
            drop(tokio::io::copy(errors.get_mut(), &mut tokio::io::sink()).await);
        };
        let (fed, ()) = tokio::join!(feed, listen);
        fed.map_err(named)?;
        let status = child.wait().await.map_err(|error| named(error.into()))?;
        if status.success() {
            return Ok(());
        }
        let why = said.lines().map(str::trim).find(|line| line.contains("error:")).unwrap_or(said.trim());
        Err(named(Error::other(format!("the tool failed ({status}): {why}")))
            .with_remedy("make what it misses (roles, extensions), and restore again into an empty database"))
    }
}

/// Refuses a database that holds anything.
pub(crate) async fn refuse_filled(database: &aeth_db::Database) -> Result<()> {
    use aeth_db::{SqlxResultExt, sqlx};
    const FIRST: &str = "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%' LIMIT 1";
    let mut connection = database.postgres()?.write().await?;
    let there: Option<String> = sqlx::query_scalar(FIRST).fetch_optional(&mut connection).await.storage()?;
    match there {
        None => Ok(()),
        Some(there) => Err(Error::new(ErrorKind::AlreadyExists, "the database holds data")
            .with_operation("restore")
            .with_component("database")
            .with_key(there)
            .with_remedy("restore into an empty database: make a new one, or drop what is in this one")),
    }
}

fn os(secret: &Secret) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(secret.expose().to_vec())
}

/// A URL as libpq takes it, and the password that it held.
fn without_password(url: &str) -> Result<(String, Option<Secret>)> {
    let wrong = || {
        Error::invalid("the database's URL cannot be understood")
            .with_remedy("write postgres://user@host:port/database, special characters percent-encoded")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, mut password) = match user.split_once(':') {
        Some((user, password)) => (user, Some(percent_decoded(password).ok_or_else(wrong)?)),
        None => (user, None),
    };
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // sqlx spells some of them otherwise.
        let name = match name {
            "ssl-mode" => "sslmode",
            "ssl-root-cert" | "ssl-ca" => "sslrootcert",
            "ssl-cert" => "sslcert",
            "ssl-key" => "sslkey",
            name => name,
        };
        if name == "password" {
            password = Some(percent_decoded(value).ok_or_else(wrong)?);
        } else if LIBPQ.contains(&name) {
            kept.push(format!("{name}={value}"));
        }
    }
    let at = if user.is_empty() { "" } else { "@" };
    let question = if kept.is_empty() { "" } else { "?" };
    let url = format!("{scheme}://{user}{at}{hosts}/{path}{question}{}", kept.join("&"));
    Ok((url, password.map(Secret::new)))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            u8::try_from(high << 4 | low).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_get_a_url_without_its_password() {
        let of = |url: &str| {
            let (url, password) = without_password(url).unwrap();
            (url, password.map(|secret| secret.expose_str().unwrap().to_owned()))
        };
        let plain = "postgres://app@a:1,b:2/db?sslmode=require&target_session_attrs=any";
        assert_eq!(of(plain), (plain.into(), None));
        assert_eq!(of("postgres://app:p%40ss%3a@h/db"), ("postgres://app@h/db".into(), Some("p@ss:".into())));
        let (url, password) = of("postgresql://h/db?statement-cache-capacity=5&password=x&ssl-mode=disable");
        assert_eq!((url.as_str(), password.as_deref()), ("postgresql://h/db?sslmode=disable", Some("x")));
        assert!(without_password("postgres://u:%zz@h").is_err() && without_password("no url").is_err());
        let tools =
            PostgresTools::new(Path::new("/opt/pg/bin/pg_dump"), &"postgres://u:hush@h/d".into(), None);
        let tools = tools.unwrap();
        assert_eq!(tools.restore, Path::new("/opt/pg/bin/pg_restore"));
        assert!(!format!("{tools:?}").contains("hush"));
    }
}
