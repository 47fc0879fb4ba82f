//! What a store can do, stated so that it can be proven.

use std::fmt;

/// One thing that a store can do.
///
/// Each has a law in the conformance suite: a store that claims it and does not do it fails there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Capability {
    /// `get` honours bounded and offset ranges.
    RangeGet,
    /// `get` honours a range that counts from the end.
    SuffixGet,
    /// `get` honours `if_match`, `if_none_match` and the two time conditions.
    ConditionalGet,
    /// `put` with [`PutMode::Create`](super::PutMode::Create) decides atomically, whatever the size.
    CreateOnly,
    /// `put` with [`PutMode::Match`](super::PutMode::Match) is a true compare-and-swap, whatever the size.
    CompareAndSwap,
    /// Attributes given to `put` come back from `get`.
    Attributes,
    /// Tags given to `put` come back from a head.
    Tags,
    /// `put` verifies a checksum given by the caller.
    Checksums,
    /// `copy` with [`CopyMode::Create`](super::CopyMode::Create) decides atomically.
    CopyCreateOnly,
    /// `copy` can replace the attributes of the copy.
    CopyReplace,
    /// `rename` is atomic: at every moment exactly one of the two paths has the blob.
    AtomicRename,
    /// `list` honours `start_after`.
    ListStartAfter,
    /// `begin_upload` works, with parts in any order.
    Uploads,
    /// An upload that was begun can be taken up again by its id.
    ResumeUploads,
    /// `presign` works.
    Presign,
    /// What is acknowledged survives a loss of power.
    Durable,
    /// The stored bytes are the bytes that were put: no layer below changes them.
    Transparent,
    /// Safe for writers in several processes at once.
    MultiProcess,
    /// Old versions can be read.
    Versions,
    /// `begin_upload` and `resume_upload` work as far as the engines of clouds go, where
    /// [`Uploads`](Self::Uploads) would be too much: parts in any order and under the upload's id, joined without gaps
    /// in their numbers and without a condition. What is stored is known to whoever stored it and cannot be listed,
    /// conditions and attributes may be refused, each with `Unsupported`. A store with `Uploads` does not claim it.
    PlainUploads,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::RangeGet,
        Self::SuffixGet,
        Self::ConditionalGet,
        Self::CreateOnly,
        Self::CompareAndSwap,
        Self::Attributes,
        Self::Tags,
        Self::Checksums,
        Self::CopyCreateOnly,
        Self::CopyReplace,
        Self::AtomicRename,
        Self::ListStartAfter,
        Self::Uploads,
        Self::ResumeUploads,
        Self::Presign,
        Self::Durable,
        Self::Transparent,
        Self::MultiProcess,
        Self::Versions,
        Self::PlainUploads,
    ];
}

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// True when `capability` is in the set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// The set with `capability` in it.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u8)
    }

    /// The set without `capability`.
    #[must_use]
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability as u8))
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Its members, in declaration order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.has(*capability))
    }
}

impl FromIterator<Capability> for CapabilitySet {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What a listing shows after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Consistency {
    /// Every read and listing that starts after a write was acknowledged shows it.
    Strong,
    /// Reads and listings may lag behind acknowledged writes.
    Eventual,
}

/// What the size of a listed entry means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListedSize {
    /// The length in bytes that a get would give.
    Exact,
    /// The length of what is stored; a head tells the true one.
    Stored,
}

/// The report of what a store can do and within which limits.
///
/// Layers transform the report of what is below them; a probe narrows a claim to what a server really does;
/// the conformance suite fails on a lie.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// What it can do.
    pub set: CapabilitySet,
    /// What a listing shows after a write.
    pub consistency: Consistency,
    /// What the size of a listed entry means.
    pub listed_size: ListedSize,
    /// The greatest blob in bytes; `None`: no limit but the disk's.
    pub max_size: Option<u64>,
    /// The greatest put in bytes whose condition ([`PutMode`](super::PutMode)) is honoured; `None`: any size.
    pub max_conditional_put: Option<u64>,
    /// The least size in bytes of every part of an upload but the last.
    pub min_part: u64,
    /// The greatest number of parts of an upload.
    pub max_parts: u32,
}

impl Capabilities {
    /// A report with these capabilities, strong consistency, exact sizes and no limits.
    #[must_use]
    pub fn new(set: impl IntoIterator<Item = Capability>) -> Self {
        Self {
            set: set.into_iter().collect(),
            consistency: Consistency::Strong,
            listed_size: ListedSize::Exact,
            max_size: None,
            max_conditional_put: None,
            min_part: 1,
            max_parts: 10_000,
        }
    }

    /// True when the store has `capability`.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.set.has(capability)
    }

    /// The report with `capability` added.
    #[must_use]
    pub fn with(mut self, capability: Capability) -> Self {
        self.set = self.set.with(capability);
        self
    }

    /// The report without `capability`.
    #[must_use]
    pub fn without(mut self, capability: Capability) -> Self {
        self.set = self.set.without(capability);
        self
    }

    /// Refuses a call that needs `capability` when the store does not have it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn require(&self, capability: Capability) -> crate::Result<()> {
        if self.has(capability) {
            return Ok(());
        }
        Err(crate::Error::unsupported(format!("the store has no capability {capability:?}")))
    }
}
