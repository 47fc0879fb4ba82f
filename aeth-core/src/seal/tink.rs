//! Tink's JSON keyset, in clear.

use super::key::KeyStatus;
use super::keyset::Keyset;
use super::proto::{RawKey, TYPE_URL, malformed, understand, write_key};
use crate::{Result, Secret};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use std::fmt::{Display, Write};
use zeroize::Zeroizing;

/// Standard base64; protobuf's JSON writers pad, and its readers must not insist.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Keyset {
    /// Reads Tink's JSON keyset, in clear.
    ///
    /// Keys must be of Tink's kind AES256_GCM_HKDF: 32 bytes, deriving 32 bytes by HKDF-SHA256, segments of
    /// 1 KiB to 4 MiB, output prefix RAW. Destroyed keys are passed over.
    ///
    /// # Errors
    /// Invalid when it is malformed or its primary key cannot be used; Unsupported for keys of another kind.
    pub fn from_tink_json(json: &Secret) -> Result<Self> {
        let parsed: JsonKeyset = serde_json::from_slice(json.expose()).map_err(|error| json_error(&error))?;
        let mut keys = Vec::with_capacity(parsed.key.len());
        for key in parsed.key {
            let encoded = key.key_data.value.0;
            let mut value = Zeroizing::new(Vec::with_capacity(encoded.len()));
            // The source of a base64 error quotes a byte of the key: it is left out.
            BASE64
                .decode_vec(encoded.as_bytes(), &mut value)
                .map_err(|_| malformed("a key is not base64"))?;
            keys.push(RawKey {
                id: key.key_id.number()?,
                status: key.status.named(&["UNKNOWN_STATUS", "ENABLED", "DISABLED", "DESTROYED"])?,
                prefix: key.output_prefix_type.named(&[
                    "UNKNOWN_PREFIX",
                    "TINK",
                    "LEGACY",
                    "RAW",
                    "CRUNCHY",
                ])?,
                type_url: key.key_data.type_url,
                value,
            });
        }
        understand(parsed.primary_key_id.number()?, keys)
    }

    /// Writes Tink's JSON keyset, **with the keys in clear**: whoever reads it can open every object. For a
    /// file, see [`to_sealed_json`](Self::to_sealed_json).
    #[must_use]
    pub fn to_tink_json(&self) -> Secret {
        let entries = self.all().iter().map(|key| {
            let value = write_key(&key.material);
            // Allocated at its full length: growing would leave copies of the key behind.
            let mut text = Zeroizing::new(String::with_capacity(value.len().div_ceil(3) * 4));
            BASE64.encode_string(&*value, &mut text);
            (text, status_name(key.status), key.id)
        });
        let entries: Vec<_> = entries.collect();
        let mut json = String::with_capacity(128 + 512 * entries.len());
        let mut write = |part: &dyn Display| {
            // Writing to a string cannot fail.
            let _ = write!(json, "{part}");
        };
        write(&format_args!("{{\"primaryKeyId\":{},\"key\":[", self.primary_id()));
        for (index, (value, status, id)) in entries.iter().enumerate() {
            write(&if index == 0 { "" } else { "," });
            write(&format_args!(
                "{{\"keyData\":{{\"typeUrl\":\"{TYPE_URL}\",\"value\":\"{}\",",
                value.as_str()
            ));
            write(&format_args!("\"keyMaterialType\":\"SYMMETRIC\"}},\"status\":\"{status}\","));
            write(&format_args!("\"keyId\":{id},\"outputPrefixType\":\"RAW\"}}"));
        }
        write(&"]}");
        Secret::new(json)
    }
}

pub(super) fn status_name(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Enabled => "ENABLED",
        KeyStatus::Disabled => "DISABLED",
    }
}

/// Where the text stops being a keyset. serde's own message may quote a value, so only the place is told.
pub(super) fn json_error(error: &serde_json::Error) -> crate::Error {
    malformed(format_args!("not the JSON expected at line {} column {}", error.line(), error.column()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonKeyset {
    #[serde(alias = "primary_key_id")]
    primary_key_id: Number,
    key: Vec<JsonKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonKey {
    #[serde(alias = "key_data")]
    key_data: JsonKeyData,
    status: Number,
    #[serde(alias = "key_id")]
    key_id: Number,
    #[serde(alias = "output_prefix_type")]
    output_prefix_type: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonKeyData {
    #[serde(alias = "type_url")]
    type_url: String,
    value: KeyText,
}

#[derive(Deserialize)]
#[serde(from = "String")]
struct KeyText(Zeroizing<String>);

impl From<String> for KeyText {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// protobuf's JSON takes numbers as text too, and enums by name or by number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(u32),
    Text(String),
}

impl Number {
    fn number(&self) -> Result<u32> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => text.parse().map_err(|_| malformed("a key id is not a number")),
        }
    }

    fn named(&self, names: &[&str]) -> Result<u64> {
        match self {
            Self::Number(number) => Ok(u64::from(*number)),
            Self::Text(text) => names
                .iter()
                .position(|name| name == text)
                .map(|index| index as u64)
                .ok_or_else(|| malformed("an unknown status or output prefix")),
        }
    }
}
