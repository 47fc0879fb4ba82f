//! Codecs without the type, for the parts that are compiled once.

use super::Codec;
use crate::l1::Value;
use aeth_core::cache::CodecId;
use aeth_core::{Error, Result};
use bytes::Bytes;
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A function that says how many bytes of memory a value takes.
pub(crate) type WeighFn<V> = Arc<dyn Fn(&V) -> usize + Send + Sync>;

/// A [`Codec`] of some type.
pub(crate) trait ErasedCodec: fmt::Debug + Send + Sync {
    /// `None` for values that have no bytes.
    fn id(&self) -> Option<CodecId>;
    fn encode(&self, value: &(dyn Any + Send + Sync)) -> Result<Bytes>;
    fn decode(&self, bytes: &Bytes) -> Result<Value>;
    fn weigh(&self, value: &(dyn Any + Send + Sync)) -> usize;
}

/// The codec `C` for the type `V`.
pub(crate) struct TypedCodec<V, C> {
    codec: Arc<C>,
    weigh: Option<WeighFn<V>>,
}

impl<V, C> TypedCodec<V, C> {
    pub(crate) fn new(codec: Arc<C>, weigh: Option<WeighFn<V>>) -> Self {
        Self { codec, weigh }
    }
}

impl<V, C: fmt::Debug> fmt::Debug for TypedCodec<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.codec, f)
    }
}

fn other_type() -> Error {
    Error::other("a cached value has another type than its cache")
}

impl<V: Send + Sync + 'static, C: Codec<V>> ErasedCodec for TypedCodec<V, C> {
    fn id(&self) -> Option<CodecId> {
        Some(self.codec.id())
    }

    fn encode(&self, value: &(dyn Any + Send + Sync)) -> Result<Bytes> {
        self.codec.encode(value.downcast_ref().ok_or_else(other_type)?)
    }

    fn decode(&self, bytes: &Bytes) -> Result<Value> {
        Ok(Arc::new(self.codec.decode(bytes)?))
    }

    fn weigh(&self, value: &(dyn Any + Send + Sync)) -> usize {
        let Some(value) = value.downcast_ref::<V>() else { return 0 };
        match &self.weigh {
            Some(weigh) => weigh(value),
            None => self.codec.weigh(value),
        }
    }
}

/// Values that stay in this process.
pub(crate) struct LocalCodec<V> {
    weigh: Option<WeighFn<V>>,
    value: PhantomData<fn(V)>,
}

impl<V> LocalCodec<V> {
    pub(crate) fn new(weigh: Option<WeighFn<V>>) -> Self {
        Self { weigh, value: PhantomData }
    }
}

impl<V> fmt::Debug for LocalCodec<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

impl<V: Send + Sync + 'static> ErasedCodec for LocalCodec<V> {
    fn id(&self) -> Option<CodecId> {
        None
    }

    fn encode(&self, _: &(dyn Any + Send + Sync)) -> Result<Bytes> {
        Err(Error::unsupported("the values of a local cache have no bytes"))
    }

    fn decode(&self, _: &Bytes) -> Result<Value> {
        Err(Error::unsupported("the values of a local cache have no bytes"))
    }

    fn weigh(&self, value: &(dyn Any + Send + Sync)) -> usize {
        match (&self.weigh, value.downcast_ref::<V>()) {
            (Some(weigh), Some(value)) => weigh(value),
            _ => size_of::<V>(),
        }
    }
}
