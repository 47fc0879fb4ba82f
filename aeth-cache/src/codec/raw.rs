//! Bytes as they are.

use super::Codec;
use aeth_core::Result;
use aeth_core::cache::CodecId;
use bytes::Bytes;

/// Bytes as they are, for values that are bytes already; they weigh their length.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Raw;

impl Codec<Bytes> for Raw {
    fn id(&self) -> CodecId {
        CodecId::RAW
    }

    fn encode(&self, value: &Bytes) -> Result<Bytes> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &Bytes) -> Result<Bytes> {
        // A slice of a larger buffer (an envelope, a network reply) would keep all of it in memory.
        Ok(Bytes::copy_from_slice(bytes))
    }

    fn weigh(&self, value: &Bytes) -> usize {
        value.len()
    }
}

impl Codec<Vec<u8>> for Raw {
    fn id(&self) -> CodecId {
        CodecId::RAW
    }

    fn encode(&self, value: &Vec<u8>) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(value))
    }

    fn decode(&self, bytes: &Bytes) -> Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }

    fn weigh(&self, value: &Vec<u8>) -> usize {
        value.capacity()
    }
}
