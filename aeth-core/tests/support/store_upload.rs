//! Uploads of the reference store.

use super::store::{Flaw, RefStore};
use aeth_core::blob::{Part, PutMode, PutOptions, PutResult, Upload, UploadId};
use aeth_core::{Body, Error, Result, async_trait};
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub struct Pending {
    pub name: String,
    pub options: PutOptions,
    pub parts: BTreeMap<u32, Bytes>,
    pub arrivals: Vec<u32>,
}

#[derive(Debug)]
pub struct RefUpload {
    store: RefStore,
    name: String,
    id: UploadId,
}

impl RefUpload {
    pub fn begin(store: &RefStore, name: &str, options: PutOptions) -> Self {
        let id = format!("upload-{}", fastrand::u64(..));
        let mut pending = Pending { name: name.to_owned(), options, ..Pending::default() };
        if store.has(Flaw::UploadForgetsOptions) {
            pending.options = PutOptions::default();
        }
        store.state.lock().uploads.insert(id.clone(), pending);
        Self { store: store.clone(), name: name.to_owned(), id: UploadId::new(id) }
    }

    pub fn resume(store: &RefStore, name: &str, id: &UploadId) -> Result<Self> {
        let mut state = store.state.lock();
        let pending = state.uploads.get_mut(id.as_str()).filter(|pending| pending.name == name);
        let Some(pending) = pending else {
            return Err(gone());
        };
        if store.has(Flaw::ResumeForgets) {
            pending.parts.clear();
        }
        Ok(Self { store: store.clone(), name: name.to_owned(), id: id.clone() })
    }
}

fn gone() -> Error {
    Error::not_found("no such upload")
}

/// Refuses the conditions that plain uploads do not have.
pub fn plain_mode(mode: &PutMode) -> Result<()> {
    match mode {
        PutMode::Overwrite => Ok(()),
        _ => Err(Error::unsupported("a plain upload has no condition")),
    }
}

#[async_trait]
impl Upload for RefUpload {
    fn id(&self) -> UploadId {
        self.id.clone()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        if number == 0 || number > self.store.claims.max_parts {
            return Err(Error::invalid("a part number out of range"));
        }
        let torn = self.store.has(Flaw::PartTorn);
        let bytes = match self.store.read("", body).await {
            Err(_) if torn => Bytes::from_static(b"torn"),
            read => read?,
        };
        let part = Part::new(number, bytes.len() as u64);
        let mut state = self.store.state.lock();
        if self.store.has(Flaw::UploadVisible) {
            self.store.commit(&mut state, &self.name, bytes.clone(), &PutOptions::default());
        }
        let pending = state.uploads.get_mut(self.id.as_str()).ok_or_else(gone)?;
        pending.parts.insert(number, bytes);
        pending.arrivals.push(number);
        if torn {
            return Err(Error::new(aeth_core::ErrorKind::Denied, "the marker of the failing body"));
        }
        Ok(part)
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        if self.store.is_plain() {
            return Err(Error::unsupported("a plain upload does not list its parts"));
        }
        let state = self.store.state.lock();
        let pending = state.uploads.get(self.id.as_str()).ok_or_else(gone)?;
        Ok(pending.parts.iter().map(|(number, bytes)| Part::new(*number, bytes.len() as u64)).collect())
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let plain = self.store.is_plain();
        if plain {
            plain_mode(mode.as_ref().unwrap_or(&PutMode::Overwrite))?;
        }
        let mut state = self.store.state.lock();
        let pending = state.uploads.get(self.id.as_str()).ok_or_else(gone)?;
        let options = pending.options.clone();
        let unchecked = self.store.has(Flaw::PartsUnchecked);
        if !unchecked && (parts.is_empty() || !parts.is_sorted_by(|a, b| a.number < b.number)) {
            return Err(Error::invalid("parts out of order"));
        }
        let mut numbers: Vec<u32> = parts.iter().map(|part| part.number).collect();
        let gap = numbers.iter().zip(1..).any(|(number, place)| *number != place);
        if plain && gap && !self.store.has(Flaw::PlainGapsJoined) {
            return Err(Error::invalid("a plain upload has a gap in the numbers of its parts"));
        }
        if self.store.has(Flaw::PartsByArrival) || self.store.has(Flaw::PlainPartsByArrival) {
            numbers.sort_by_key(|number| pending.arrivals.iter().position(|arrived| arrived == number));
        }
        let mut whole = Vec::new();
        for number in numbers {
            match pending.parts.get(&number) {
                Some(bytes) => whole.extend_from_slice(bytes),
                None if unchecked => {}
                None => return Err(Error::invalid("a part was never stored")),
            }
        }
        if !self.store.has(Flaw::UploadConditionIgnored) {
            self.store.allows(&state, &self.name, &mode.unwrap_or_else(|| options.mode.clone()))?;
        }
        state.uploads.remove(self.id.as_str());
        Ok(self.store.commit(&mut state, &self.name, whole.into(), &options))
    }

    async fn abort(&self) -> Result<()> {
        if !self.store.has(Flaw::AbortKeeps) {
            self.store.state.lock().uploads.remove(self.id.as_str());
        }
        Ok(())
    }
}
