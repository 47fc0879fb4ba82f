//! The passwords of a repository.

use super::sinks::object;
use super::{Host, Sinks};
use crate::Id;
use crate::crypto::{KdfParams, Key, KeyFile};
use crate::format::NodeTime;
use aeth_core::backup::ObjectKind;
use aeth_core::{Clock, Error, ErrorKind, Result, Secret, Tasks};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// restic tries this many keys by default; each costs a derivation.
const MAX_KEYS: usize = 20;

/// What a new key is made from.
pub(super) struct NewKey<'a> {
    pub(super) password: &'a Secret,
    pub(super) params: Option<KdfParams>,
    pub(super) host: &'a Host,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) tasks: &'a Tasks,
}

/// Makes a key file for `password`, around `master` or a new master key.
pub(super) async fn create(new: NewKey<'_>, master: Option<Key>) -> Result<(Key, Bytes)> {
    refuse_empty(new.password)?;
    let created = NodeTime::from(new.clock.now()).local();
    let (user, host) = (new.host.username.clone(), new.host.hostname.clone());
    let (password, params, clock) = (new.password.clone(), new.params, Arc::clone(new.clock));
    let work = new.tasks.spawn_blocking(move || {
        let params = match params {
            Some(params) => params,
            None => KdfParams::calibrate(&*clock)?,
        };
        let master = match master {
            Some(master) => master,
            None => Key::random()?,
        };
        let file = KeyFile::create(&master, password.expose(), params, created, user, host)?;
        Ok((master, Bytes::from(file.encode()?)))
    });
    joined(work.await)
}

/// Finds a key file that `password` opens and whose master key `fits`. An interrupted init may have left a key
/// that opens nothing. When no master key fits, the first that was found is returned: the caller says what is
/// wrong with the rest.
pub(super) async fn find(
    sinks: &Sinks,
    password: &Secret,
    tasks: &Tasks,
    fits: impl Fn(&Key) -> bool,
) -> Result<(Id, Key)> {
    refuse_empty(password)?;
    let files = read_all(sinks).await?;
    let (mut first, mut broken) = (None, None);
    for (id, file) in files.into_iter().take(MAX_KEYS) {
        match try_open(id, file, password, tasks).await {
            Ok(Some(key)) if fits(&key) => return Ok((id, key)),
            Ok(Some(key)) => first = first.or(Some((id, key))),
            Ok(None) => {}
            Err(error) => broken = Some(error),
        }
    }
    if let Some(found) = first {
        return Ok(found);
    }
    Err(broken.unwrap_or_else(|| {
        Error::new(ErrorKind::Denied, "the password opens none of the repository's keys")
            .with_operation("open")
            .with_remedy("check the password; it cannot be recovered without one of its keys")
    }))
}

/// The key that an interrupted init left in places without a configuration: a second one beside it would leave
/// readers to guess. `None` when there is none.
pub(super) async fn left_over(
    sinks: &Sinks,
    password: &Secret,
    tasks: &Tasks,
) -> Result<Option<(Key, Bytes)>> {
    refuse_empty(password)?;
    let mut files = BTreeMap::new();
    for sink in &sinks.all {
        for (id, _) in sink.list(ObjectKind::Key).await? {
            let file = sink.read(&object(ObjectKind::Key, id), None).await?;
            if Id::of(&file) != id {
                return Err(foreign_key(id).with_component(sink.name()));
            }
            files.insert(id, file);
        }
    }
    let mut found: Option<(Key, Bytes)> = None;
    let Some(any) = files.keys().next().copied() else { return Ok(None) };
    for (id, file) in files.into_iter().take(MAX_KEYS) {
        let Some(key) = try_open(id, file.clone(), password, tasks).await? else { continue };
        match &found {
            Some((first, _)) if *first.to_json()? != *key.to_json()? => return Err(foreign_key(id)),
            Some(_) => {}
            None => found = Some((key, file)),
        }
    }
    found.map(Some).ok_or_else(|| foreign_key(any))
}

fn foreign_key(id: Id) -> Error {
    Error::new(ErrorKind::AlreadyExists, "there is a key already, and it is not this password's")
        .with_operation("init")
        .with_key(format!("keys/{id}"))
        .with_remedy("choose an empty place, or give the password that an interrupted init was given")
}

/// Opens a key file; `None` when it is another password's.
async fn try_open(id: Id, file: Bytes, password: &Secret, tasks: &Tasks) -> Result<Option<Key>> {
    let password = password.clone();
    let work = tasks.spawn_blocking(move || KeyFile::parse(&file)?.open(password.expose()));
    joined(work.await).map_err(|error| error.with_key(format!("keys/{id}")))
}

/// The key files of all live sinks whose content is what their names say.
pub(super) async fn read_all(sinks: &Sinks) -> Result<Vec<(Id, Bytes)>> {
    let mut failure = Error::corrupt("the repository has a config but no key")
        .with_operation("open")
        .with_remedy("restore the files of `keys/` from another copy of the repository");
    let mut keys = BTreeMap::new();
    for sink in sinks.live() {
        let found = match sink.list(ObjectKind::Key).await {
            Ok(found) => found,
            Err(error) => {
                failure = error;
                continue;
            }
        };
        for (id, _) in found {
            if keys.contains_key(&id) {
                continue;
            }
            match sink.read(&object(ObjectKind::Key, id), None).await {
                Ok(file) if Id::of(&file) == id => drop(keys.insert(id, file)),
                Ok(_) => {
                    failure = Error::corrupt("the key file is not what its name says")
                        .with_component(sink.name())
                        .with_key(format!("keys/{id}"))
                        .with_remedy("restore it from another copy of the repository");
                }
                Err(error) => failure = error,
            }
        }
    }
    if keys.is_empty() { Err(failure) } else { Ok(keys.into_iter().collect()) }
}

fn refuse_empty(password: &Secret) -> Result<()> {
    if password.is_empty() {
        return Err(Error::invalid("the repository's password is empty").with_remedy("give a password"));
    }
    Ok(())
}

/// The result of work on another thread.
pub(crate) fn joined<T>(result: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| Err(Error::other("a worker thread failed").with_source(error)))
}
