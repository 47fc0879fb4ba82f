//! Several keys, one of them primary, and their life.

use super::header::random;
use super::key::{KeyInfo, KeyStatus, Material};
use super::map::SegmentSize;
use super::stamp::Binding;
use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::sync::Arc;

/// The keys that seal and open objects.
///
/// Objects are sealed under the primary key and opened under any enabled one. To rotate:
/// [`rotate`](Self::rotate), store the keyset, give it to every process; old objects stay readable. Where
/// several processes share a store, [`add_key`](Self::add_key) first, give the keyset to all of them, and only
/// then [`promote`](Self::promote), so that none meets an object whose key it has not.
///
/// Keys are erased from memory when the last clone is dropped, and never shown by `Debug`.
///
/// ```
/// use aeth_core::seal::{Keyset, SegmentSize};
///
/// let mut keyset = Keyset::generate(SegmentSize::default())?;
/// let first = keyset.primary_id();
/// let second = keyset.rotate()?;
/// assert_eq!(keyset.primary_id(), second);
/// keyset.disable(first)?;
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Keyset {
    /// Never empty, numbers unique; exactly one is the primary, and that one is enabled.
    keys: Vec<Key>,
    primary: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) id: u32,
    pub(super) status: KeyStatus,
    pub(super) material: Arc<Material>,
}

impl Keyset {
    /// A keyset of one random key.
    ///
    /// # Errors
    /// Other when the system's random generator fails.
    pub fn generate(segment_size: SegmentSize) -> Result<Self> {
        let material = Arc::new(Material::random(segment_size)?);
        let id = fresh_id(&[])?;
        Ok(Self { keys: vec![Key { id, status: KeyStatus::Enabled, material }], primary: id })
    }

    /// Puts keys together, after checking what the type promises.
    pub(super) fn assemble(keys: Vec<Key>, primary: u32) -> Result<Self> {
        let remedy = "give a keyset that `Keyset` or Tink wrote, unchanged";
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|other| other.id == key.id) {
                return Err(
                    Error::invalid(format!("keyset has two keys with id {}", key.id)).with_remedy(remedy)
                );
            }
        }
        match keys.iter().find(|key| key.id == primary) {
            Some(key) if key.status == KeyStatus::Enabled => Ok(Self { keys, primary }),
            Some(_) => Err(Error::invalid("the keyset's primary key is not enabled").with_remedy(remedy)),
            None => Err(Error::invalid("the keyset's primary key is missing").with_remedy(remedy)),
        }
    }

    /// The number of the key that seals new objects.
    #[must_use]
    pub fn primary_id(&self) -> u32 {
        self.primary
    }

    /// The segment size of the primary key, hence of new objects.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.primary().material.segment_size()
    }

    /// What may be told about each key, in the order in which they were added.
    pub fn keys(&self) -> impl Iterator<Item = KeyInfo> + '_ {
        self.keys.iter().map(|key| KeyInfo {
            id: key.id,
            status: key.status,
            primary: key.id == self.primary,
            segment_size: key.material.segment_size(),
        })
    }

    /// Adds a random key, enabled but not primary, and returns its number.
    ///
    /// # Errors
    /// Other when the system's random generator fails.
    pub fn add_key(&mut self, segment_size: SegmentSize) -> Result<u32> {
        let id = fresh_id(&self.keys)?;
        let material = Arc::new(Material::random(segment_size)?);
        self.keys.push(Key { id, status: KeyStatus::Enabled, material });
        Ok(id)
    }

    /// Makes key `id` the primary.
    ///
    /// # Errors
    /// NotFound when there is no such key; Invalid when it is disabled.
    pub fn promote(&mut self, id: u32) -> Result<()> {
        if self.find(id)?.status != KeyStatus::Enabled {
            return Err(Error::invalid(format!("key {id} is disabled"))
                .with_remedy("enable the key before it becomes the primary"));
        }
        self.primary = id;
        Ok(())
    }

    /// Adds a random key with the primary's segment size, makes it the primary, and returns its number.
    ///
    /// # Errors
    /// Other when the system's random generator fails.
    pub fn rotate(&mut self) -> Result<u32> {
        let id = self.add_key(self.segment_size())?;
        self.primary = id;
        Ok(id)
    }

    /// Lets key `id` open objects again.
    ///
    /// # Errors
    /// NotFound when there is no such key.
    pub fn enable(&mut self, id: u32) -> Result<()> {
        self.find_mut(id)?.status = KeyStatus::Enabled;
        Ok(())
    }

    /// Keeps key `id` but opens nothing with it.
    ///
    /// # Errors
    /// NotFound when there is no such key; Invalid when it is the primary.
    pub fn disable(&mut self, id: u32) -> Result<()> {
        self.refuse_primary(id)?;
        self.find_mut(id)?.status = KeyStatus::Disabled;
        Ok(())
    }

    /// Forgets key `id`: what was sealed under it can never be opened again. Disable it first, for a while.
    ///
    /// # Errors
    /// NotFound when there is no such key; Invalid when it is the primary.
    pub fn remove(&mut self, id: u32) -> Result<()> {
        self.refuse_primary(id)?;
        self.find(id)?;
        self.keys.retain(|key| key.id != id);
        Ok(())
    }

    /// Ties `parts` together under the primary key, in their order.
    ///
    /// A layer over a store binds an object's random identity (the associated data of its ciphertext) to its
    /// path so; a rename then replaces the binding and moves no byte.
    #[must_use]
    pub fn bind(&self, parts: &[&[u8]]) -> Binding {
        Binding::new(self.primary, &self.primary().material, parts)
    }

    /// Checks that `binding` was made by this keyset for exactly these parts.
    ///
    /// # Errors
    /// Corrupt when it was not; Denied when the keyset lacks the key, or it is disabled.
    pub fn verify_binding(&self, binding: &Binding, parts: &[&[u8]]) -> Result<()> {
        if self.usable(binding.key_id())?.material_holds(binding, parts) {
            Ok(())
        } else {
            Err(Error::corrupt("binding does not belong to this object and place")
                .with_remedy("restore the object and its attributes from another copy"))
        }
    }

    pub(super) fn all(&self) -> &[Key] {
        &self.keys
    }

    pub(super) fn primary(&self) -> &Key {
        // `assemble` and each mutation keep the primary among the keys; the fallback only avoids a panic path.
        self.keys.iter().find(|key| key.id == self.primary).unwrap_or(&self.keys[0])
    }

    /// The keys that may open, the one numbered `first` in front.
    pub(super) fn enabled(&self, first: u32) -> impl Iterator<Item = &Key> {
        let rank = move |key: &&Key| key.id == first;
        let usable = |key: &&Key| key.status == KeyStatus::Enabled;
        let front = self.keys.iter().filter(rank);
        front.chain(self.keys.iter().filter(move |key| !rank(key))).filter(usable)
    }

    /// The key numbered `id`, if it may be used.
    pub(super) fn usable(&self, id: u32) -> Result<&Key> {
        let (message, remedy) = match self.keys.iter().find(|key| key.id == id) {
            Some(key) if key.status == KeyStatus::Enabled => return Ok(key),
            Some(_) => ("is disabled", "enable the key in the keyset"),
            None => ("is not in the keyset", "open with the keyset that holds the key"),
        };
        Err(Error::new(ErrorKind::Denied, format!("the object's key {id} {message}")).with_remedy(remedy))
    }

    fn find(&self, id: u32) -> Result<&Key> {
        self.keys.iter().find(|key| key.id == id).ok_or_else(|| no_such_key(id))
    }

    fn find_mut(&mut self, id: u32) -> Result<&mut Key> {
        self.keys.iter_mut().find(|key| key.id == id).ok_or_else(|| no_such_key(id))
    }

    fn refuse_primary(&self, id: u32) -> Result<()> {
        if id == self.primary {
            return Err(
                Error::invalid(format!("key {id} is the primary")).with_remedy("promote another key first")
            );
        }
        Ok(())
    }
}

impl Key {
    fn material_holds(&self, binding: &Binding, parts: &[&[u8]]) -> bool {
        binding.holds(&self.material, parts)
    }
}

fn no_such_key(id: u32) -> Error {
    Error::not_found(format!("no key {id} in the keyset"))
        .with_remedy("choose an id that `Keyset::keys` lists")
}

/// A random number that is neither zero, which protobuf cannot tell from absent, nor taken.
fn fresh_id(keys: &[Key]) -> Result<u32> {
    loop {
        let mut bytes = [0; 4];
        random(&mut bytes)?;
        let id = u32::from_be_bytes(bytes);
        if id != 0 && keys.iter().all(|key| key.id != id) {
            return Ok(id);
        }
    }
}

impl fmt::Debug for Keyset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys()).finish()
    }
}
