//! What ties a sealed blob to its place and its key.

use aeth_core::blob::Attributes;
use aeth_core::seal::{Binding, Commitment, Keyset};
use aeth_core::{BlobPath, Error, Result};

/// Attributes of this layer start so; the caller's may not.
pub(super) const RESERVED: &str = "aeth-seal-";
const ID: &str = "aeth-seal-id";
const KEY: &str = "aeth-seal-key";
const PATH: &str = "aeth-seal-path";
/// Keeps these bindings apart from those of other uses of the keyset.
const PURPOSE: &[u8] = b"aeth-files blob path";
const ID_LEN: usize = 32;

/// The identity of one sealed object, as its attributes have it.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Random, and the associated data of the ciphertext, as text.
    pub(super) id: String,
    pub(super) commitment: Commitment,
    binding: Binding,
}

impl Identity {
    /// A new object at a path.
    pub(super) fn new(keyset: &Keyset, path: &BlobPath, id: String, commitment: Commitment) -> Self {
        let binding = bind(keyset, path, &id);
        Self { id, commitment, binding }
    }

    /// The same object at another path.
    pub(super) fn moved(&self, keyset: &Keyset, to: &BlobPath) -> Self {
        Self::new(keyset, to, self.id.clone(), self.commitment.clone())
    }

    /// Reads it from a blob's attributes and checks that it belongs to the path.
    ///
    /// # Errors
    /// Corrupt when it is missing, malformed, or that of another path; Denied when its key is not here.
    pub(super) fn read(keyset: &Keyset, path: &BlobPath, attributes: Option<&Attributes>) -> Result<Self> {
        let value = |name: &str| {
            attributes.and_then(|attributes| attributes.user.get(name)).ok_or_else(|| {
                Error::corrupt("the blob has no seal: it was not written through this layer, or its attributes were lost")
                    .with_remedy("write it again, or restore it with its attributes")
            })
        };
        let id = value(ID)?.clone();
        if id.len() != ID_LEN {
            return Err(Error::corrupt("the blob's identity is malformed"));
        }
        let identity = Self { id, commitment: value(KEY)?.parse()?, binding: value(PATH)?.parse()? };
        let parts: [&[u8]; 3] = [PURPOSE, identity.id.as_bytes(), path.as_str().as_bytes()];
        keyset.verify_binding(&identity.binding, &parts)?;
        Ok(identity)
    }

    /// Adds it to the caller's attributes.
    pub(super) fn write(&self, attributes: &mut Attributes) {
        let mut set = |name: &str, value: String| attributes.user.insert(name.to_owned(), value);
        set(ID, self.id.clone());
        set(KEY, self.commitment.to_string());
        set(PATH, self.binding.to_string());
    }
}

fn bind(keyset: &Keyset, path: &BlobPath, id: &str) -> Binding {
    keyset.bind(&[PURPOSE, id.as_bytes(), path.as_str().as_bytes()])
}

/// Refuses attributes of the caller's that this layer uses.
pub(super) fn check_attributes(attributes: &Attributes) -> Result<()> {
    match attributes.user.keys().find(|name| name.starts_with(RESERVED)) {
        Some(name) => Err(Error::invalid(format!("the attribute `{name}` is reserved for encryption"))
            .with_remedy("choose another name")),
        None => Ok(()),
    }
}

/// Removes this layer's attributes.
pub(super) fn strip(attributes: &mut Attributes) {
    attributes.user.retain(|name, _| !name.starts_with(RESERVED));
}
