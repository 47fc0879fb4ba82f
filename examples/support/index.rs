//! The index of the quickstart: one row for each stored file, in SQLite.

use aetherius::sqlx::{self, Row, sqlite::SqliteRow};
use aetherius::{BlobPath, Database, Error, Migrations, Result, SqlxResultExt};

/// A row of the index.
pub(crate) struct Indexed {
    pub id: i64,
    pub path: String,
    pub size: u64,
    /// Seconds and nanoseconds of the last modification, when it was read.
    pub modified: (i64, i64),
    pub sha256: [u8; 32],
}

/// The index.
#[derive(Clone, Debug)]
pub(crate) struct Index(Database);

impl Index {
    /// Brings the schema up to date and empties the table.
    pub(crate) async fn begin(database: &Database) -> Result<Self> {
        let schema = Migrations::new("quickstart").step(
            1,
            "files",
            "CREATE TABLE files (
                 id INTEGER PRIMARY KEY,
                 path TEXT NOT NULL UNIQUE,
                 size INTEGER NOT NULL,
                 modified_s INTEGER NOT NULL,
                 modified_ns INTEGER NOT NULL,
                 sha256 BLOB NOT NULL
             ) STRICT",
        );
        database.migrate(&schema).await?;
        let index = Self(database.clone());
        let mut writer = index.0.sqlite()?.write().await?;
        sqlx::query("DELETE FROM files").execute(&mut writer).await.storage()?;
        Ok(index)
    }

    /// The index of a storage that was restored.
    pub(crate) fn of(database: &Database) -> Self {
        Self(database.clone())
    }

    /// Adds rows in one transaction.
    pub(crate) async fn add(&self, rows: &[Indexed]) -> Result<()> {
        let mut transaction = self.0.sqlite()?.begin().await?;
        for row in rows {
            sqlx::query(
                "INSERT INTO files (id, path, size, modified_s, modified_ns, sha256) VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(row.id)
            .bind(&row.path)
            .bind(row.size.cast_signed())
            .bind(row.modified.0)
            .bind(row.modified.1)
            .bind(&row.sha256[..])
            .execute(&mut transaction)
            .await
            .storage()?;
        }
        transaction.commit().await
    }

    /// The row of this id.
    pub(crate) async fn get(&self, id: i64) -> Result<Indexed> {
        let mut reader = self.0.sqlite()?.read().await?;
        let row = sqlx::query("SELECT * FROM files WHERE id = ?")
            .bind(id)
            .fetch_one(&mut reader)
            .await
            .storage()?;
        decode(&row)
    }

    /// Up to a thousand rows after this id.
    pub(crate) async fn page(&self, after: i64) -> Result<Vec<Indexed>> {
        let mut reader = self.0.sqlite()?.read().await?;
        let rows = sqlx::query("SELECT * FROM files WHERE id > ? ORDER BY id LIMIT 1000")
            .bind(after)
            .fetch_all(&mut reader)
            .await
            .storage()?;
        rows.iter().map(decode).collect()
    }

    /// True when a file is stored under this path.
    pub(crate) async fn has(&self, path: &BlobPath) -> Result<bool> {
        let mut reader = self.0.sqlite()?.read().await?;
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM files WHERE path = ?")
            .bind(path.as_str())
            .fetch_one(&mut reader)
            .await
            .storage()?;
        Ok(found > 0)
    }
}

fn decode(row: &SqliteRow) -> Result<Indexed> {
    let sha256: Vec<u8> = row.try_get("sha256").storage()?;
    let size: i64 = row.try_get("size").storage()?;
    Ok(Indexed {
        id: row.try_get("id").storage()?,
        path: row.try_get("path").storage()?,
        size: size.cast_unsigned(),
        modified: (row.try_get("modified_s").storage()?, row.try_get("modified_ns").storage()?),
        sha256: sha256.try_into().map_err(|_| Error::corrupt("a hash of the index has another length"))?,
    })
}
