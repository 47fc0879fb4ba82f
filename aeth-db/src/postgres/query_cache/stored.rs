//! What is kept of a result.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sqlx::postgres::types::Oid;

/// Of the format below; another one is a miss.
const FORMAT: u8 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    format: u8,
    snapshot: String,
    tables: Vec<u32>,
    notified: bool,
    rows: Vec<u8>,
}

/// A result, the snapshot in which it was read, and the tables that it came from.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) snapshot: String,
    pub(super) tables: Vec<Oid>,
    /// Whether each change of them is notified.
    pub(super) notified: bool,
    rows: Vec<u8>,
}

impl Stored {
    /// `None` when the rows cannot be encoded.
    pub(super) fn new<T: Serialize>(
        snapshot: String,
        (tables, notified): (Vec<Oid>, bool),
        rows: &[T],
    ) -> Option<Self> {
        let rows = postcard::to_stdvec(rows).ok()?;
        Some(Self { snapshot, tables, notified, rows })
    }

    pub(super) fn seal(self) -> Vec<u8> {
        let tables = self.tables.iter().map(|oid| oid.0).collect();
        let Self { snapshot, notified, rows, .. } = self;
        let envelope = Envelope { format: FORMAT, snapshot, tables, notified, rows };
        // Of plain numbers, texts and bytes, which have a form; an empty one is a miss.
        postcard::to_stdvec(&envelope).unwrap_or_default()
    }

    /// `None` for what is not ours or not sound.
    pub(super) fn open(bytes: &[u8]) -> Option<Self> {
        let envelope: Envelope = postcard::from_bytes(bytes).ok()?;
        let tables = envelope.tables.into_iter().map(Oid).collect();
        (envelope.format == FORMAT).then_some(Self {
            snapshot: envelope.snapshot,
            tables,
            notified: envelope.notified,
            rows: envelope.rows,
        })
    }

    /// `None` when the type has changed.
    pub(super) fn rows<T: DeserializeOwned>(&self) -> Option<Vec<T>> {
        postcard::from_bytes(&self.rows).ok()
    }
}
