//! JSON.

use super::Codec;
use aeth_core::cache::CodecId;
use aeth_core::{Error, Result};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;

/// JSON (RFC 8259): readable in every lower tier and by every language.
///
/// A decoded value is taken to weigh twice its encoded length.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Json;

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn id(&self) -> CodecId {
        CodecId::JSON
    }

    fn encode(&self, value: &V) -> Result<Bytes> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Error::invalid("the value cannot be written as JSON").with_source(error))?;
        Ok(bytes.into())
    }

    fn decode(&self, bytes: &Bytes) -> Result<V> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::corrupt("the bytes are not this type in JSON").with_source(error))
    }

    fn weigh(&self, value: &V) -> usize {
        let mut count = Count(0);
        match serde_json::to_writer(&mut count, value) {
            Ok(()) => count.0.saturating_mul(2),
            Err(_) => 0,
        }
    }
}

/// Counts what is written to it.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
