//! Postcard.

use super::Codec;
use aeth_core::cache::CodecId;
use aeth_core::{Error, Result};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The compact binary format of the `postcard` crate, version 1: the default.
///
/// It does not describe itself: after a change of the type, raise the cache's
/// [`schema`](crate::CacheOptions::schema), so that old entries are misses instead of garbage.
///
/// A decoded value is taken to weigh twice its encoded length.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Postcard;

impl<V: Serialize + DeserializeOwned> Codec<V> for Postcard {
    fn id(&self) -> CodecId {
        CodecId::POSTCARD
    }

    fn encode(&self, value: &V) -> Result<Bytes> {
        let bytes = postcard::to_stdvec(value)
            .map_err(|error| Error::invalid("the value cannot be written as postcard").with_source(error))?;
        Ok(bytes.into())
    }

    fn decode(&self, bytes: &Bytes) -> Result<V> {
        postcard::from_bytes(bytes)
            .map_err(|error| Error::corrupt("the bytes are not this type in postcard").with_source(error))
    }

    fn weigh(&self, value: &V) -> usize {
        let length = postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default());
        length.map_or(0, |length: usize| length.saturating_mul(2))
    }
}
