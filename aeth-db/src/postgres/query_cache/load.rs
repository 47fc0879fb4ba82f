//! Running a query so that its result may be kept.

use super::query::CachedQuery;
use super::schema::{JUDGE, READ, TRIM, UNSTEADY};
use super::stored::Stored;
use super::{Inner, QueryCache};
use crate::error::SqlxResultExt;
use crate::postgres::transaction::{Begin, Isolation, PostgresTransaction};
use aeth_core::{Clock, Error, Result};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::Oid;
use sqlx::{Executor, FromRow, SqlSafeStr};
use std::panic::Location;
use std::sync::Weak;

impl QueryCache {
    /// The rows, and what is to be kept; nothing when they cannot be encoded.
    pub(super) async fn load<T>(&self, query: CachedQuery) -> Result<(Vec<T>, Option<Stored>)>
    where
        T: for<'r> FromRow<'r, PgRow> + Serialize + Send + Unpin,
    {
        let CachedQuery { sql, arguments, types, deterministic, .. } = query;
        let begin = Begin::default().isolation(Isolation::RepeatableRead).read_only(true);
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        let text = || sqlx::AssertSqlSafe(sql.to_string()).into_sql_str();
        if !self.inner.db.shared.pooled() {
            // Before the transaction: what sqlx asks the catalogues about types is not what the query reads.
            (&mut conn).prepare_with(text(), &types).await.map_err(CachedQuery::failed)?;
        }
        let mut transaction = conn.begin_with(begin).await?;
        let rows: Vec<T> = sqlx::query_as_with(text(), arguments)
            .fetch_all(&mut transaction)
            .await
            .map_err(CachedQuery::failed)?;
        let (snapshot, relations): (String, Option<Vec<Oid>>) =
            sqlx::query_as(READ).fetch_one(&mut transaction).await.storage()?;
        let relations = relations.unwrap_or_default();
        let tables = judge(&mut transaction, &sql, &relations, deterministic).await?;
        transaction.commit().await?;
        let stored = Stored::new(snapshot, tables, &rows);
        Ok((rows, stored))
    }
}

/// The tables that the result came from, if it may be kept.
async fn judge(
    transaction: &mut PostgresTransaction,
    sql: &str,
    relations: &[Oid],
    deterministic: bool,
) -> Result<(Vec<Oid>, bool)> {
    let judged: Vec<(Oid, String, String, Option<String>, bool)> =
        sqlx::query_as(JUDGE).bind(relations).fetch_all(&mut *transaction).await.storage()?;
    let (mut tables, mut all_notified) = (Vec::new(), true);
    let mut functions = CachedQuery::functions(sql);
    for (oid, name, verdict, definition, notified) in judged {
        functions.extend(definition.iter().flat_map(|text| CachedQuery::functions(text)));
        match verdict.as_str() {
            "watched" => {}
            "passed" => continue,
            "security" if deterministic => {}
            "security" => {
                return Err(refused("the query reads a table with row-level security", &name).with_remedy(
                    "declare it deterministic if every asker of this handle sees the same rows",
                ));
            }
            "catalogue" => {
                return Err(refused("the query reads a catalogue, whose changes are not seen", &name));
            }
            _ => {
                return Err(refused("the query reads a table that is not watched", &name)
                    .with_remedy("watch the table first"));
            }
        }
        tables.push(oid);
        all_notified &= notified;
    }
    if !deterministic {
        if let Some(name) = CachedQuery::times(sql) {
            return Err(refused("the query reads the time", name)
                .with_remedy("bind the time instead, or declare the query deterministic"));
        }
        let unsteady: Option<String> =
            sqlx::query_scalar(UNSTEADY).bind(functions).fetch_optional(transaction).await.storage()?;
        if let Some(name) = unsteady {
            return Err(refused("the query calls a function whose result changes by itself", &name)
                .with_remedy("bind the value instead, or declare the query deterministic"));
        }
    }
    Ok((tables, all_notified))
}

fn refused(message: &'static str, name: &str) -> Error {
    Error::unsupported(message).with_key(name)
}

/// Trims the change rows until the database is closed or the cache is gone.
pub(super) async fn trim_forever(cache: Weak<Inner>) {
    loop {
        let Some(inner) = cache.upgrade() else { return };
        let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::clone(&inner.db.shared.recorder.clock);
        // With jitter: the processes of a fleet take turns.
        let pause = inner.keep.div_f64(16.0).mul_f64(0.5 + fastrand::f64());
        drop(inner);
        clock.sleep(pause).await;
        let Some(inner) = cache.upgrade() else { return };
        if let Err(error) = inner.trim().await {
            tracing::debug!(%error, "change rows could not be trimmed");
        }
    }
}

impl Inner {
    pub(super) async fn trim(&self) -> Result<()> {
        let mut conn = self.db.write_at(Location::caller()).await?;
        sqlx::query(TRIM).bind(self.keep.as_secs_f64()).execute(&mut conn).await.storage().map(drop)
    }
}
