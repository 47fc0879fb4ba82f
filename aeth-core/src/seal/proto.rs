//! The protobuf messages of a Tink keyset, written and read by hand: five small messages, fixed for years.
//!
//! Field numbers are from Tink's `tink.proto`, `aes_gcm_hkdf_streaming.proto` and `common.proto`.

use super::key::{KEY_LEN, KeyStatus, Material};
use super::keyset::{Key, Keyset};
use super::map::SegmentSize;
use crate::{Error, Result};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const TYPE_URL: &str = "type.googleapis.com/google.crypto.tink.AesGcmHkdfStreamingKey";

const SHA256: u64 = 3;
const SYMMETRIC: u64 = 1;
const RAW: u64 = 3;

/// A key as it stands in a keyset, JSON or binary, before it is understood.
#[derive(Default)]
pub(super) struct RawKey {
    pub(super) id: u32,
    /// 1 enabled, 2 disabled, 3 destroyed.
    pub(super) status: u64,
    /// 3 raw.
    pub(super) prefix: u64,
    pub(super) type_url: String,
    pub(super) value: Zeroizing<Vec<u8>>,
}

pub(super) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("malformed keyset: {what}"))
        .with_remedy("give a keyset that `Keyset` or Tink wrote, unchanged")
}

/// Understands a keyset; destroyed keys, of which nothing but the number is left, are passed over.
pub(super) fn understand(primary: u32, raw: Vec<RawKey>) -> Result<Keyset> {
    let mut keys = Vec::with_capacity(raw.len());
    for raw in raw {
        let status = match raw.status {
            1 => KeyStatus::Enabled,
            2 => KeyStatus::Disabled,
            3 => continue,
            other => return Err(malformed(format_args!("status {other} of key {}", raw.id))),
        };
        if raw.type_url != TYPE_URL {
            return Err(Error::unsupported(format!("key {} is not of type AesGcmHkdfStreamingKey", raw.id))
                .with_remedy(
                    "make the keyset from Tink's template AES256_GCM_HKDF_1MB or AES256_GCM_HKDF_4KB",
                ));
        }
        if raw.prefix != RAW {
            return Err(malformed(format_args!(
                "key {} has an output prefix; streaming keys are RAW",
                raw.id
            )));
        }
        let material = Arc::new(read_key(raw.id, &raw.value)?);
        keys.push(Key { id: raw.id, status, material });
    }
    Keyset::assemble(keys, primary)
}

/// `AesGcmHkdfStreamingKey`, in an allocation that never moves.
pub(super) fn write_key(material: &Material) -> Zeroizing<Vec<u8>> {
    let mut params = Vec::with_capacity(16);
    put_int(&mut params, 1, u64::from(material.segment_size().get()));
    put_int(&mut params, 2, KEY_LEN as u64);
    put_int(&mut params, 3, SHA256);
    let mut key = Zeroizing::new(Vec::with_capacity(KEY_LEN + params.len() + 16));
    put_bytes(&mut key, 2, &params);
    put_bytes(&mut key, 3, material.bytes());
    key
}

fn read_key(id: u32, message: &[u8]) -> Result<Material> {
    let (mut version, mut params, mut bytes) = (0, None, None);
    let mut reader = Reader(message);
    while let Some(field) = reader.next()? {
        match field {
            (1, Value::Int(value)) => version = value,
            (2, Value::Bytes(value)) => params = Some(value),
            (3, Value::Bytes(value)) => bytes = Some(value),
            _ => {}
        }
    }
    let (Some(params), Some(bytes)) = (params, bytes) else {
        return Err(malformed(format_args!("key {id} lacks its parameters or its value")));
    };
    let (mut segment, mut derived, mut hash) = (0, 0, 0);
    let mut reader = Reader(params);
    while let Some(field) = reader.next()? {
        match field {
            (1, Value::Int(value)) => segment = value,
            (2, Value::Int(value)) => derived = value,
            (3, Value::Int(value)) => hash = value,
            _ => {}
        }
    }
    let unsupported = |what: &str| {
        Error::unsupported(format!("key {id} has {what}")).with_remedy(
            "use keys of 32 bytes that derive 32 bytes by HKDF-SHA256, version 0 (Tink's AES256_GCM_HKDF)",
        )
    };
    let segment = u32::try_from(segment).map_err(|_| unsupported("a segment size beyond 4 MiB"))?;
    let segment = SegmentSize::new(segment)?;
    if version != 0 {
        return Err(unsupported("an unknown version"));
    }
    if hash != SHA256 || derived != KEY_LEN as u64 {
        return Err(unsupported("another hash or derived key size"));
    }
    let bytes: &[u8; KEY_LEN] = bytes.try_into().map_err(|_| unsupported("another key size"))?;
    Material::new(Zeroizing::new(*bytes), segment)
}

/// `Keyset`, binary.
pub(super) fn write_keyset(keyset: &Keyset) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(16 + 256 * keyset.all().len()));
    put_int(&mut out, 1, u64::from(keyset.primary_id()));
    for key in keyset.all() {
        let value = write_key(&key.material);
        let mut data = Zeroizing::new(Vec::with_capacity(TYPE_URL.len() + value.len() + 16));
        put_bytes(&mut data, 1, TYPE_URL.as_bytes());
        put_bytes(&mut data, 2, &value);
        put_int(&mut data, 3, SYMMETRIC);
        let mut entry = Zeroizing::new(Vec::with_capacity(data.len() + 32));
        put_bytes(&mut entry, 1, &data);
        put_int(&mut entry, 2, if key.status == KeyStatus::Enabled { 1 } else { 2 });
        put_int(&mut entry, 3, u64::from(key.id));
        put_int(&mut entry, 4, RAW);
        put_bytes(&mut out, 2, &entry);
    }
    out
}

/// `Keyset`, binary.
pub(super) fn read_keyset(message: &[u8]) -> Result<Keyset> {
    let (mut primary, mut keys) = (0, Vec::new());
    let mut reader = Reader(message);
    while let Some(field) = reader.next()? {
        match field {
            (1, Value::Int(value)) => primary = key_id(value)?,
            (2, Value::Bytes(entry)) => keys.push(read_entry(entry)?),
            _ => {}
        }
    }
    understand(primary, keys)
}

fn read_entry(message: &[u8]) -> Result<RawKey> {
    let mut key = RawKey::default();
    let mut reader = Reader(message);
    while let Some(field) = reader.next()? {
        match field {
            (1, Value::Bytes(data)) => {
                let mut reader = Reader(data);
                while let Some(field) = reader.next()? {
                    match field {
                        (1, Value::Bytes(url)) => key.type_url = String::from_utf8_lossy(url).into_owned(),
                        (2, Value::Bytes(value)) => key.value = Zeroizing::new(value.to_vec()),
                        _ => {}
                    }
                }
            }
            (2, Value::Int(value)) => key.status = value,
            (3, Value::Int(value)) => key.id = key_id(value)?,
            (4, Value::Int(value)) => key.prefix = value,
            _ => {}
        }
    }
    Ok(key)
}

fn key_id(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| malformed("a key id beyond 32 bits"))
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_int(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

enum Value<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    /// A fixed-width number, which none of the messages uses.
    Other,
}

/// The fields of a message, in their order; unknown ones are for the caller to pass over.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Int(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(malformed("an unknown wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(malformed("a number that does not end"))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let cut = usize::try_from(len).ok().and_then(|len| self.0.split_at_checked(len));
        let (taken, rest) = cut.ok_or_else(|| malformed("a field that is cut off"))?;
        self.0 = rest;
        Ok(taken)
    }
}
