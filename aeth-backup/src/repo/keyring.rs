//! The passwords of a repository: listing, adding, changing and removing them.

use super::keys::{self, NewKey};
use super::ledger::{Change, Ledger, State};
use super::{LockGuard, Repository, Shared, object};
use crate::Id;
use crate::crypto::KeyFile;
use crate::format::NodeTime;
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, ErrorKind, Result, Secret};

/// A key: the repository's master key under one password.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Its name.
    pub id: Id,
    /// When it was made, if its maker says so: rustic does not.
    pub created: Option<NodeTime>,
    /// Who made it; empty when that is not said.
    pub username: String,
    /// The host it was made on; empty when that is not said.
    pub hostname: String,
    /// True for the one that this handle was opened with.
    pub current: bool,
}

impl Repository {
    /// The repository's keys, in the order of their ids.
    ///
    /// # Errors
    /// `Corrupt` when there is no undamaged one; the sinks' own errors.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn keys(&self) -> Result<Vec<KeyInfo>> {
        let ledger = self.shared.ledger().await;
        let current = *self.shared.key_id.lock();
        let mut found = Vec::new();
        for (id, file) in keys::read_all(&self.shared.sinks).await? {
            if ledger.is_removed(ObjectKind::Key, &id) {
                continue;
            }
            let KeyFile { created, username, hostname, .. } =
                KeyFile::parse(&file).map_err(|error| error.with_key(format!("keys/{id}")))?;
            let (username, hostname) = (username.unwrap_or_default(), hostname.unwrap_or_default());
            found.push(KeyInfo { id, created, username, hostname, current: id == current });
        }
        Ok(found)
    }

    /// Adds a password; the others stay. Returns the new key's name.
    ///
    /// # Errors
    /// `Invalid` for an empty password; `Busy` when the repository is locked exclusively; the sinks' errors when
    /// fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: the key is there or not; a sink that lacks it gets it with the next run.
    pub async fn add_key(&self, password: &Secret) -> Result<Id> {
        let _writing = self.shared.writer.lock().await;
        self.shared.revive().await;
        let lock = LockGuard::acquire(&self.shared, false).await?;
        let result = self.shared.add_key(password).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("add a key"))
    }

    /// Removes a key: its password no longer opens the repository. Whoever had it may have kept the master key,
    /// which stays the same; only copying into a new repository changes that. A sink that is away keeps the key until
    /// it is back, and an append-only sink keeps it.
    ///
    /// # Errors
    /// `Invalid` for the key that this handle was opened with, and for the last one; `NotFound`; `Busy` when the
    /// repository is locked exclusively; `Denied` for append-only sinks; the sinks' errors when fewer than the quorum
    /// are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: repeating it completes it.
    pub async fn remove_key(&self, id: Id) -> Result<()> {
        let refused = |message: &'static str, remedy: &'static str| {
            Error::invalid(message).with_key(format!("keys/{id}")).with_remedy(remedy)
        };
        let _writing = self.shared.writer.lock().await;
        self.shared.revive().await;
        self.shared.refuse_append_only("remove a key")?;
        let lock = LockGuard::acquire(&self.shared, false).await?;
        let result = async {
            let keys = self.keys().await?;
            if !keys.iter().any(|key| key.id == id) {
                return Err(Error::not_found("there is no such key").with_key(format!("keys/{id}")));
            }
            if id == *self.shared.key_id.lock() {
                let remedy = "open the repository with another password, or change this one";
                return Err(refused("the key is the one that the repository was opened with", remedy));
            }
            if keys.len() < 2 {
                let remedy = "add another key first: without any, nobody can open the repository again";
                return Err(refused("the key is the last one", remedy));
            }
            self.shared.remove_key(id).await
        }
        .await;
        lock.release().await;
        result.map_err(|error| error.with_operation("remove a key"))
    }

    /// Puts a new password in place of the one that this handle was opened with. Returns the new key's name.
    ///
    /// # Errors
    /// As [`Repository::add_key`] and [`Repository::remove_key`].
    ///
    /// # Cancel safety
    /// Cancel-safe: the new password works or not; the old one may still work.
    pub async fn change_password(&self, password: &Secret) -> Result<Id> {
        let _writing = self.shared.writer.lock().await;
        self.shared.revive().await;
        self.shared.refuse_append_only("change the password")?;
        let lock = LockGuard::acquire(&self.shared, false).await?;
        let result = async {
            let new = self.shared.add_key(password).await?;
            let old = std::mem::replace(&mut *self.shared.key_id.lock(), new);
            self.shared.remove_key(old).await?;
            Ok(new)
        }
        .await;
        lock.release().await;
        result.map_err(|error: Error| error.with_operation("change the password"))
    }
}

impl Shared {
    async fn add_key(&self, password: &Secret) -> Result<Id> {
        let new = NewKey {
            password,
            params: self.options.kdf,
            host: &self.host,
            clock: &self.clock,
            tasks: &self.tasks,
        };
        let (_, file) = keys::create(new, Some(self.key.clone())).await?;
        let id = Id::of(&file);
        self.sinks.write(&object(ObjectKind::Key, id), &file).await?;
        Ok(id)
    }

    async fn remove_key(&self, id: Id) -> Result<()> {
        let kind = ObjectKind::Key;
        self.record(&[Change { state: State::Removed, kind, ids: vec![id] }]).await?;
        self.sinks.remove_where_allowed(&[object(kind, id)]).await
    }

    /// Fails when the password that was given is one whose key was removed while the sink that still has it was away.
    pub(super) async fn refuse_removed_key(&self, id: Id) -> Result<()> {
        if self.sinks.all.len() < 2 || !self.ledger().await.is_removed(ObjectKind::Key, &id) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Denied, "the password's key was removed from the repository")
            .with_operation("open")
            .with_key(format!("keys/{id}"))
            .with_remedy("give a password that was not removed"))
    }

    /// Removes keys that were removed while a sink was away.
    pub(super) async fn remove_removed_keys(&self, ledger: &Ledger) -> Result<()> {
        for sink in self.removable() {
            let mut keys = match sink.list(ObjectKind::Key).await {
                Ok(keys) => keys,
                Err(error) => {
                    sink.fail(error);
                    continue;
                }
            };
            keys.retain(|(id, _)| ledger.is_removed(ObjectKind::Key, id));
            let names: Vec<_> = keys.iter().map(|(id, _)| object(ObjectKind::Key, *id)).collect();
            if !names.is_empty()
                && let Err(error) = sink.remove(&names).await
            {
                sink.fail(error);
            }
        }
        self.sinks.check_quorum()
    }
}
