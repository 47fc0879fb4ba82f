//! Sealing on the way down.

use super::Encrypted;
use super::identity::{Identity, check_attributes};
use super::object::{plain_len, shown};
use super::statistics::Counters;
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{PutOptions, PutResult};
use aeth_core::seal::{Sealer, SegmentMap};
use aeth_core::{BlobPath, Body, ByteStream, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// Bodies up to this length are sealed in one piece.
const WHOLE: usize = 1 << 20;

impl Encrypted {
    pub(super) async fn put_sealed(
        &self,
        path: &BlobPath,
        body: Body,
        mut options: PutOptions,
    ) -> Result<PutResult> {
        check_attributes(&options.attributes).map_err(|error| shown(error, path))?;
        let keyset = self.keyset();
        let id = if self.binds { Some(crate::random::hex::<16>()?) } else { None };
        let aad = id.as_deref().unwrap_or(path.as_str()).as_bytes();
        let stated = body.length();
        let mut verifier = Verifier::of(options.checksum.take().as_ref())?;
        let size = keyset.segment_size();
        let (body, commitment) = match body {
            Body::Bytes(bytes) if bytes.len() <= WHOLE => {
                if let Some(mut verifier) = verifier.take() {
                    verifier.update(&bytes);
                    verifier.finish().map_err(|error| shown(error, path))?;
                }
                let (sealed, commitment) = keyset.seal(aad, &bytes)?;
                let segments = SegmentMap::of_plaintext(size, bytes.len() as u64)?.segment_count();
                self.counters.sealed.add(u64::from(segments));
                (Body::Bytes(sealed), commitment)
            }
            body => {
                let sealer = keyset.sealer(aad)?;
                let length = match stated {
                    Some(stated) => Some(SegmentMap::of_plaintext(size, stated)?.ciphertext_len()),
                    None => None,
                };
                let commitment = sealer.commitment().clone();
                // It cannot be opened twice: the same nonces must not seal what might be other bytes.
                let state = Sealing {
                    stream: body.into_stream(),
                    data: Bytes::new(),
                    sealer: Some(sealer),
                    verifier,
                    stated,
                    read: 0,
                    counters: Arc::clone(&self.counters),
                };
                (Body::once(seal(state), length), commitment)
            }
        };
        if let Some(id) = id {
            Identity::new(&keyset, path, id, commitment).write(&mut options.attributes);
        }
        self.opened.remove(path);
        let mut result = self.inner.put_opts(path, body, options).await?;
        result.size = result.size.and_then(|sealed| plain_len(size, sealed).ok());
        Ok(result)
    }
}

struct Sealing {
    stream: ByteStream,
    data: Bytes,
    sealer: Option<Sealer>,
    verifier: Option<Verifier>,
    stated: Option<u64>,
    read: u64,
    counters: Arc<Counters>,
}

/// Seals a stream, segment by segment.
fn seal(state: Sealing) -> impl futures_core::Stream<Item = Result<Bytes>> + Send + 'static {
    stream::try_unfold(state, |mut state| async move {
        loop {
            let Some(sealer) = &mut state.sealer else { return Ok(None) };
            if let Some(segment) = sealer.push(&mut state.data)? {
                state.counters.sealed.increment();
                return Ok(Some((segment, state)));
            }
            if let Some(chunk) = state.stream.next().await {
                state.data = chunk?;
                state.read += state.data.len() as u64;
                if let Some(verifier) = &mut state.verifier {
                    verifier.update(&state.data);
                }
                continue;
            }
            check_length(state.stated, state.read)?;
            state.verifier.take().map_or(Ok(()), Verifier::finish)?;
            let Some(sealer) = state.sealer.take() else { return Ok(None) };
            let last = sealer.finish()?;
            state.counters.sealed.increment();
            return Ok(Some((last, state)));
        }
    })
}
