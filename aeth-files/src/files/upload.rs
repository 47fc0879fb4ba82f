//! Uploads of files in parts, and where they were when they are taken up again.

use super::transfer::{State, beside, forget, named, part_length, writable, write_state};
use super::{Files, IntoPath, TransferOptions};
use crate::blocking::blocking;
use aeth_core::blob::{BlobStore, Capability, Part, PutMode, PutOptions, PutResult, Upload};
use aeth_core::{Body, Error, ErrorKind, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::UNIX_EPOCH;

impl Files {
    /// Stores a file of the host, several parts at the same time, as one blob that appears when all are there. An
    /// upload that failed or was dropped goes on where it was when it is called again for the same file, where the
    /// store can take uploads up. A file of one part, and any file on a store without uploads, is stored at once.
    ///
    /// # Errors
    /// As [`put_file`](Self::put_file); `Corrupt` when the file was changed meanwhile.
    ///
    /// # Cancel safety
    /// The blob is old or new; the parts that were stored wait to be taken up.
    pub async fn upload(
        &self,
        path: impl IntoPath,
        file: impl AsRef<Path> + Send,
        put: PutOptions,
        options: TransferOptions,
    ) -> Result<PutResult> {
        let (path, source) = (path.into_path()?, file.as_ref().to_path_buf());
        let caps = self.store().capabilities();
        let (mark, size) = mark_of(source.clone()).await?;
        let most = u64::from(caps.max_parts.max(1));
        let part_size = options.part_size.max(1).max(caps.min_part).max(size.div_ceil(most));
        let plain = caps.has(Capability::PlainUploads);
        let simple = put.mode == PutMode::Overwrite && put.checksum.is_none();
        if size <= part_size || !(caps.has(Capability::Uploads) || (plain && simple)) {
            return self.put_file_with(path, source, put, options.progress).await;
        }
        let state = State { path: path.clone(), mark, size, part_size, id: None };
        let resumes = options.resume && (plain || caps.has(Capability::ResumeUploads));
        let sending = Sending { state_path: beside(&source, ".aeth-state")?, source, state, plain };
        let again = resumes && plain;
        match self.send_parts(&sending, put.clone(), &options, resumes).await {
            // A store that cannot list parts only now tells that the upload is no more.
            Err(error) if again && error.is_not_found() => {
                let at = sending.state_path.clone();
                blocking(move || {
                    forget(&at);
                    Ok(())
                })
                .await?;
                self.send_parts(&sending, put, &options, resumes).await
            }
            // Engines that take no attributes with uploads.
            Err(error) if plain && error.operation() == Some("begin_upload") && is_unsupported(&error) => {
                self.put_file_with(path, sending.source, put, options.progress).await
            }
            sent => sent,
        }
    }

    async fn send_parts(
        &self,
        sending: &Sending,
        put: PutOptions,
        options: &TransferOptions,
        resumes: bool,
    ) -> Result<PutResult> {
        let Sending { source, state_path, state, plain } = sending;
        let (upload, stored) = self.take_up(put, sending, resumes).await?;
        let passed = AtomicU64::new(0);
        for part in stored.values() {
            options.said(&passed, part.size, state.size);
        }
        let count = state.size.div_ceil(state.part_size);
        let numbers = (0..count).filter(|number| !stored.contains_key(&at_one(*number)));
        let sends = stream::iter(numbers).map(|number| {
            let (source, state_path, upload, passed) = (source.clone(), state_path.clone(), &upload, &passed);
            async move {
                let (start, length) = (number * state.part_size, part_length(state, number));
                let bytes = blocking(move || read_at(&source, start, length)).await?;
                let part = upload.put_part(at_one(number), Body::Bytes(bytes.into())).await?;
                if *plain && resumes {
                    let part = part.clone();
                    blocking(move || note_part(&state_path, &part)).await?;
                }
                options.said(passed, length, state.size);
                Ok::<Part, Error>(part)
            }
        });
        let sent: Vec<Part> = sends.buffer_unordered(options.concurrency.max(1)).try_collect().await?;
        let mut parts = stored;
        parts.extend(sent.into_iter().map(|part| (part.number, part)));
        if mark_of(source.clone()).await?.0 != state.mark {
            drop(upload.abort().await);
            forget(state_path);
            return Err(Error::corrupt("the file was changed while it was stored")
                .with_component("files")
                .with_key(source.display())
                .with_remedy("store it again when nobody writes to it"));
        }
        let parts: Vec<Part> = parts.into_values().collect();
        let mut result = upload.complete(&parts, None).await?;
        result.size = result.size.or(Some(state.size));
        let state_path = state_path.clone();
        blocking(move || {
            forget(&state_path);
            Ok(())
        })
        .await?;
        Ok(result)
    }

    /// The upload that was begun for this state of the file, with the parts that it has, or a new one.
    async fn take_up(
        &self,
        put: PutOptions,
        sending: &Sending,
        resumes: bool,
    ) -> Result<(Box<dyn Upload>, BTreeMap<u32, Part>)> {
        let Sending { state_path, state, plain, .. } = sending;
        let at = state_path.clone();
        let earlier = if resumes { blocking(move || Ok(read_state(&at))).await? } else { None };
        if let Some((State { id: Some(id), .. }, noted)) =
            earlier.filter(|(earlier, _)| State { id: None, ..earlier.clone() } == *state)
        {
            match self.store().resume_upload(&state.path, &id).await {
                Ok(upload) => {
                    let good = |part: &Part| {
                        part.number > 0 && part.size == part_length(state, u64::from(part.number) - 1)
                    };
                    let parts = if *plain { noted } else { upload.list_parts().await? };
                    let parts = parts.into_iter().filter(good).map(|part| (part.number, part)).collect();
                    return Ok((upload, parts));
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        let upload = self.store().begin_upload(&state.path, put).await?;
        if resumes {
            let (at, state) = (state_path.clone(), State { id: Some(upload.id()), ..state.clone() });
            blocking(move || write_state(&at, &state)).await?;
        }
        Ok((upload, BTreeMap::new()))
    }
}

fn is_unsupported(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

/// An upload of a file.
struct Sending {
    source: PathBuf,
    state_path: PathBuf,
    state: State,
    /// Whether the store leaves it to us to know which parts there are.
    plain: bool,
}

/// What is known of a part of an upload whose store cannot list parts.
#[derive(Debug, Serialize, Deserialize)]
struct PartNote {
    number: u32,
    size: u64,
    etag: Option<String>,
}

fn note_part(at: &Path, part: &Part) -> Result<()> {
    use std::io::Write;
    let note = PartNote { number: part.number, size: part.size, etag: part.etag.clone() };
    let text = serde_json::to_string(&note)
        .map_err(|error| Error::other("the state of the transfer cannot be written").with_source(error))?;
    let shown = |error| named(error, at);
    let mut file = writable().append(true).open(at).map_err(shown)?;
    // In one write, so that parts that end at the same moment do not mix their notes.
    file.write_all(format!("\n{text}\n").as_bytes()).map_err(shown)
}

/// The state, and the parts that were noted behind it; a line that a crash cut is none.
fn read_state(at: &Path) -> Option<(State, Vec<Part>)> {
    let text = std::fs::read(at).ok()?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let state = serde_json::from_slice(lines.next()?).ok()?;
    let notes = lines.filter_map(|line| serde_json::from_slice::<PartNote>(line).ok());
    let parts = notes.map(|note| {
        let part = Part::new(note.number, note.size);
        match note.etag {
            Some(etag) => part.with_etag(etag),
            None => part,
        }
    });
    Some((state, parts.collect()))
}

/// Parts of uploads are numbered from one.
fn at_one(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1)
}

/// What tells one state of a file from another, and its length.
async fn mark_of(file: PathBuf) -> Result<(String, u64)> {
    use std::os::unix::fs::MetadataExt;
    blocking(move || {
        let meta = std::fs::metadata(&file).map_err(|error| named(error, &file))?;
        let modified = meta.modified().map_err(|error| named(error, &file))?;
        let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((format!("{}-{}-{}", meta.ino(), meta.len(), since.as_nanos()), meta.len()))
    })
    .await
}

fn read_at(path: &Path, start: u64, length: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|error| named(error, path))?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start).map_err(|error| named(error, path))?;
    Ok(bytes)
}
