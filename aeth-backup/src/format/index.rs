//! Index files: which blob lies where in which pack.

use super::{BlobEntry, BlobKind, null_is_default};
use crate::Id;
use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// One file below `index/`.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexFile {
    pub(crate) packs: Vec<IndexPack>,
}

/// One pack of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexPack {
    pub(crate) id: Id,
    pub(crate) blobs: Vec<BlobEntry>,
}

#[derive(Serialize, Deserialize)]
struct IndexJson {
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    supersedes: Vec<Id>,
    #[serde(deserialize_with = "null_is_default")]
    packs: Vec<PackJson>,
}

#[derive(Serialize, Deserialize)]
struct PackJson {
    id: Id,
    #[serde(deserialize_with = "null_is_default")]
    blobs: Vec<BlobJson>,
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    id: Id,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "null_is_default")]
    uncompressed_length: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl IndexFile {
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let blob = |blob: &BlobEntry| BlobJson {
            id: blob.id,
            kind: blob.kind,
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed,
        };
        let pack = |pack: &IndexPack| PackJson { id: pack.id, blobs: pack.blobs.iter().map(blob).collect() };
        let json = IndexJson { supersedes: Vec::new(), packs: self.packs.iter().map(pack).collect() };
        let mut bytes = serde_json::to_vec(&json).map_err(crate::error::json("index"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        let json: IndexJson = serde_json::from_slice(json).map_err(crate::error::json("index"))?;
        let pack = |pack: PackJson| {
            let blob = |blob: BlobJson| {
                if blob.offset.checked_add(blob.length).is_none() {
                    return Err(Error::corrupt("an index entry reaches beyond any pack"));
                }
                Ok(BlobEntry {
                    kind: blob.kind,
                    id: blob.id,
                    offset: blob.offset,
                    length: blob.length,
                    uncompressed: blob.uncompressed_length,
                })
            };
            Ok(IndexPack { id: pack.id, blobs: pack.blobs.into_iter().map(blob).collect::<Result<_>>()? })
        };
        Ok(Self { packs: json.packs.into_iter().map(pack).collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_nothing() {
        let id = "ab".repeat(32);
        let text = format!(
            r#"{{"supersedes":null,"packs":[{{"id":"{id}","blobs":[{{"id":"{id}","type":"data","offset":0,"length":40,"uncompressed_length":null}}]}},{{"id":"{id}","blobs":null}}]}}"#
        );
        let index = IndexFile::parse(text.as_bytes()).unwrap();
        let sizes: Vec<Vec<u32>> = index
            .packs
            .iter()
            .map(|pack| pack.blobs.iter().map(|blob| blob.uncompressed).collect())
            .collect();
        assert_eq!(sizes, [vec![0], vec![]]);
        assert!(IndexFile::parse(br#"{"packs":null}"#).unwrap().packs.is_empty());
        assert!(IndexFile::parse(br#"{"packs":[{"id":null,"blobs":[]}]}"#).is_err());
    }
}
