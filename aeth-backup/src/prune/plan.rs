//! What stays, what is written again, what goes: a pure function, after restic's `internal/repository/prune.go`.

use super::options::PruneOptions;
use super::reach::Reach;
use super::report::PruneReport;
use super::survey::{Survey, pack_size};
use crate::Id;
use crate::format::{BlobEntry, BlobKind};
use crate::repo::{IdMap, IdSet};

/// restic calls packs below this small, whatever the others are.
const MIN_PACK: u64 = 4 << 20;
/// Trees above this many bytes always gain by compression.
const SHORT_TREE: u64 = 2048;
/// So many small packs are worth joining.
const MIN_SMALL: usize = 10;

/// What is done with the packs that an index names and that are there.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Of no use at all.
    pub(super) remove: Vec<Id>,
    /// Used in part, or small: what is used is copied out, then they are of no use.
    pub(super) repack: Vec<Id>,
    /// Named by no index.
    pub(super) orphans: Vec<Id>,
    /// For each blob in use, the pack that counts as its holder.
    holders: [IdMap<Id>; 2],
}

/// What the plan has to know of the repository.
#[derive(Debug, Clone, Copy)]
pub(super) struct RepositoryShape {
    /// Whether its version knows compression.
    pub(super) compresses: bool,
    /// The size at which new packs are closed.
    pub(super) pack_size: u64,
}

/// What a pack holds.
#[derive(Debug, Default)]
struct Pack {
    id: Option<Id>,
    used: u64,
    used_bytes: u64,
    unused: u64,
    unused_bytes: u64,
    has_data: bool,
    has_trees: bool,
    uncompressed: bool,
}

impl Pack {
    fn bytes(&self) -> u64 {
        self.used_bytes + self.unused_bytes
    }

    fn only_data(&self) -> bool {
        self.has_data && !self.has_trees
    }
}

fn slot(kind: BlobKind) -> usize {
    match kind {
        BlobKind::Data => 0,
        BlobKind::Tree => 1,
    }
}

impl Plan {
    /// Plans.
    pub(super) fn make(
        survey: &Survey,
        reach: &Reach,
        options: &PruneOptions,
        repository: &RepositoryShape,
        report: &mut PruneReport,
    ) -> Self {
        let mut plan = Self { holders: holders(survey, reach), ..Self::default() };
        let mut packs = Vec::new();
        for (id, blobs) in survey.packs.iter().filter(|(id, _)| survey.stored.contains_key(*id)) {
            packs.push(plan.weigh(*id, blobs, reach, report));
        }
        // The same packs in the same order give the same plan.
        packs.sort_by_key(|pack| pack.id);
        let target = target_size(options, repository, &packs);
        let (mut candidates, mut small) = (Vec::new(), Vec::new());
        for pack in packs {
            let Some(id) = pack.id else { continue };
            match (pack.used, pack.unused) {
                (0, _) => {
                    report.packs.unused += 1;
                    report.blobs.removed += pack.unused;
                    report.bytes.removed += pack.bytes();
                    plan.remove.push(id);
                    continue;
                }
                (_, 0) => report.packs.used += 1,
                _ => report.packs.partly_used += 1,
            }
            let mixed = pack.has_data && pack.has_trees;
            let compress =
                repository.compresses && pack.uncompressed && (pack.has_trees || options.recompress);
            if pack.unused == 0 && !mixed && !compress {
                if pack.bytes() >= target {
                    report.packs.keep += 1;
                } else {
                    small.push((pack, false));
                }
            } else {
                candidates.push((pack, compress));
            }
        }
        if small.len() < MIN_SMALL {
            report.packs.keep += u64::try_from(small.len()).unwrap_or(0);
        } else {
            candidates.append(&mut small);
        }
        plan.choose(candidates, target, options, report);
        for (id, size) in survey.stored.iter().filter(|(id, _)| !survey.packs.contains_key(*id)) {
            plan.orphans.push(*id);
            report.packs.unreferenced += 1;
            report.bytes.unreferenced += size;
        }
        report.packs.remove = u64::try_from(plan.remove.len()).unwrap_or(0);
        report.packs.repack = u64::try_from(plan.repack.len()).unwrap_or(0);
        plan
    }

    fn weigh(&self, id: Id, blobs: &[BlobEntry], reach: &Reach, report: &mut PruneReport) -> Pack {
        let lengths: u64 = blobs.iter().map(|blob| u64::from(blob.length)).sum();
        let overhead = pack_size(blobs).saturating_sub(lengths);
        let mut pack = Pack { id: Some(id), used_bytes: overhead, ..Pack::default() };
        for blob in blobs {
            let bytes = u64::from(blob.length);
            match blob.kind {
                BlobKind::Data => pack.has_data = true,
                BlobKind::Tree => pack.has_trees = true,
            }
            // A short tree may not get any shorter, and would be written again each time.
            pack.uncompressed |=
                blob.uncompressed == 0 && (blob.kind == BlobKind::Data || bytes > SHORT_TREE);
            if self.holds(&id, blob) {
                pack.used += 1;
                pack.used_bytes += bytes;
                report.blobs.used += 1;
                report.bytes.used += bytes;
                continue;
            }
            pack.unused += 1;
            pack.unused_bytes += bytes;
            if reach.contains(blob.kind, &blob.id) {
                report.blobs.duplicate += 1;
                report.bytes.duplicate += bytes;
            } else {
                report.blobs.unused += 1;
                report.bytes.unused += bytes;
            }
        }
        pack
    }

    /// Whether a pack is the one that keeps this blob of its.
    pub(super) fn holds(&self, pack: &Id, blob: &BlobEntry) -> bool {
        self.holders.get(slot(blob.kind)).and_then(|holders| holders.get(&blob.id)) == Some(pack)
    }

    /// Chooses what is written again: trees and mixed packs first, then small ones, then those with most waste,
    /// until little enough is left unused.
    fn choose(
        &mut self,
        mut candidates: Vec<(Pack, bool)>,
        target: u64,
        options: &PruneOptions,
        report: &mut PruneReport,
    ) {
        candidates.sort_by(|(a, _), (b, _)| {
            let small = |pack: &Pack| pack.bytes() < target;
            let waste =
                |pack: &Pack, other: &Pack| u128::from(pack.unused_bytes) * u128::from(other.used_bytes);
            (a.only_data().cmp(&b.only_data()))
                .then(small(b).cmp(&small(a)))
                .then(waste(b, a).cmp(&waste(a, b)))
                .then(a.id.cmp(&b.id))
        });
        let limit = options.max_unused.limit(report.bytes.used);
        for (pack, compress) in candidates {
            let Some(id) = pack.id else { continue };
            let enough = report.bytes.remaining_unused() < limit.max(1);
            let too_much = report.bytes.repack.saturating_add(pack.bytes()) > options.max_repack;
            let wanted = !pack.only_data() || compress || !enough || pack.bytes() < target;
            if too_much || !wanted {
                report.packs.keep += 1;
                continue;
            }
            report.blobs.repack += pack.used + pack.unused;
            report.blobs.repack_removed += pack.unused;
            report.bytes.repack += pack.bytes();
            report.bytes.repack_removed += pack.unused_bytes;
            self.repack.push(id);
        }
    }
}

/// One pack for each blob in use. A pack that is used anyway is preferred to one that could go as a whole; one
/// that prune has marked is the last resort; one that is not whole does not count.
fn holders(survey: &Survey, reach: &Reach) -> [IdMap<Id>; 2] {
    let mut order: Vec<(&Id, &Vec<BlobEntry>)> =
        survey.packs.iter().filter(|(id, _)| survey.is_whole(id)).collect();
    order.sort_by_key(|(id, _)| **id);
    let mut copies: [IdMap<u32>; 2] = Default::default();
    for blob in order.iter().flat_map(|(_, blobs)| blobs.iter()) {
        if reach.contains(blob.kind, &blob.id)
            && let Some(copies) = copies.get_mut(slot(blob.kind))
        {
            *copies.entry(blob.id).or_insert(0) += 1;
        }
    }
    let is_used = |blob: &BlobEntry| reach.contains(blob.kind, &blob.id);
    let count =
        |blob: &BlobEntry| copies.get(slot(blob.kind)).and_then(|copies| copies.get(&blob.id)).copied();
    let rank = |id: &Id, blobs: &[BlobEntry]| {
        let anyway = blobs.iter().any(|blob| count(blob) == Some(1));
        // What an interrupted prune has copied lies in packs of nothing but used blobs.
        let nothing_else = blobs.iter().all(is_used);
        (survey.ledger.is_weak(id), !nothing_else, !anyway)
    };
    let mut ranked: Vec<_> = order.iter().map(|(id, blobs)| (rank(id, blobs), *id, *blobs)).collect();
    ranked.sort_by_key(|(rank, id, _)| (*rank, **id));
    let mut holders: [IdMap<Id>; 2] = Default::default();
    for (_, id, blobs) in ranked {
        for blob in blobs.iter().filter(|blob| is_used(blob)) {
            if let Some(holders) = holders.get_mut(slot(blob.kind)) {
                holders.entry(blob.id).or_insert(*id);
            }
        }
    }
    holders
}

/// Packs below this are small: restic's rule.
fn target_size(options: &PruneOptions, repository: &RepositoryShape, packs: &[Pack]) -> u64 {
    if let Some(bytes) = options.repack_below {
        return bytes;
    }
    let mut sizes: Vec<u64> = packs.iter().map(Pack::bytes).collect();
    sizes.sort_unstable();
    sizes.get(sizes.len() * 3 / 100).map_or(0, |size| MIN_PACK.min(repository.pack_size).max(*size) / 5 * 4)
}

/// The packs of `doomed` that hold something in use which no pack outside of it holds: they must stay.
pub(super) fn still_needed(survey: &Survey, reach: &Reach, doomed: &IdSet) -> IdSet {
    let mut safe: [IdSet; 2] = Default::default();
    for (_, blobs) in survey.packs.iter().filter(|(id, _)| !doomed.contains(*id) && survey.is_whole(id)) {
        for blob in blobs {
            if let Some(safe) = safe.get_mut(slot(blob.kind)) {
                safe.insert(blob.id);
            }
        }
    }
    let mut needed = IdSet::default();
    let mut order: Vec<_> = doomed.iter().filter(|id| survey.is_whole(id)).collect();
    order.sort_unstable();
    for id in order {
        let blobs = survey.packs.get(id).map(Vec::as_slice).unwrap_or_default();
        let lacks = |blob: &BlobEntry| {
            reach.contains(blob.kind, &blob.id)
                && safe.get(slot(blob.kind)).is_some_and(|safe| !safe.contains(&blob.id))
        };
        if blobs.iter().any(lacks) {
            needed.insert(*id);
            for blob in blobs {
                if let Some(safe) = safe.get_mut(slot(blob.kind)) {
                    safe.insert(blob.id);
                }
            }
        }
    }
    needed
}
