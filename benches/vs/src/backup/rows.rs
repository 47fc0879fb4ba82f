//! Which figure is held against which, and to what bound.

use super::data::Set;
use super::figures::{Figure, Figures, Operation};
use crate::row::Row;

const MIB: f64 = (1 << 20) as f64;

fn cpu(figure: &Figure) -> f64 {
    figure.cpu
}

fn wall(figure: &Figure) -> f64 {
    figure.wall
}

fn stored(figure: &Figure) -> f64 {
    figure.stored / MIB
}

/// Hands over the rows of one data set.
pub(super) fn of(figures: &Figures, report: &mut dyn FnMut(Row)) {
    let mut rows = Rows { figures, report };
    match figures.set {
        Set::Random => {
            rows.first("first backup, incompressible", &[("restic", 0.3), ("rustic", 0.4), ("borg", 0.65)]);
            rows.best("first backup, incompressible: wall", Operation::First, "s", wall, 0.45);
        }
        Set::Mixed => {
            rows.first("first backup, mixed", &[("borg", 0.75), ("restic", 0.5), ("rustic", 0.5)]);
            rows.best("first backup, mixed: wall", Operation::First, "s", wall, 0.55);
            rows.best("first backup, mixed: repository", Operation::First, "MiB", stored, 1.03);
            rows.fast();
            rows.sinks();
            rows.changed("mixed");
        }
        Set::Small => {
            rows.best("first backup, small files", Operation::First, "CPU s", cpu, 0.5);
            rows.best("unchanged re-run, small files", Operation::Unchanged, "CPU s", cpu, 0.5);
            if let Some(ours) = figures.ours(Operation::Unchanged) {
                let written = ours.stored / 1024.0;
                rows.give(
                    Row::absolute("unchanged re-run, small files: written", "KiB", written).at_most(10.0),
                );
            }
            rows.changed("small files");
        }
    }
    let name = match figures.set {
        Set::Random => "incompressible",
        Set::Mixed => "mixed",
        Set::Small => "small files",
    };
    rows.reading(name);
    rows.memory(name);
}

struct Rows<'a> {
    figures: &'a Figures,
    report: &'a mut dyn FnMut(Row),
}

impl Rows<'_> {
    fn give(&mut self, row: Row) {
        (self.report)(row);
    }

    fn against(
        &mut self,
        what: &str,
        unit: &'static str,
        ours: Option<f64>,
        peer: Option<(String, f64)>,
        bound: f64,
    ) {
        if let (Some(ours), Some(peer)) = (ours, peer) {
            self.give(Row::against(what, unit, ours, peer).at_most(bound));
        }
    }

    fn first(&mut self, what: &str, peers: &[(&'static str, f64)]) {
        let ours = self.figures.ours(Operation::First).map(cpu);
        for (peer, bound) in peers {
            let peer = self.figures.of(Operation::First, peer).map(|peer| (peer.tool.clone(), peer.cpu));
            self.against(what, "CPU s", ours, peer, *bound);
        }
    }

    fn best(
        &mut self,
        what: &str,
        operation: Operation,
        unit: &'static str,
        figure: fn(&Figure) -> f64,
        bound: f64,
    ) {
        let ours = self.figures.ours(operation).map(figure);
        let peer = self.figures.best(operation, figure).map(|peer| (peer.tool.clone(), figure(peer)));
        self.against(what, unit, ours, peer, bound);
    }

    fn fast(&mut self) {
        let fast = self.figures.ours(Operation::Fast).cloned();
        let borg = self.figures.of(Operation::First, "borg").map(|peer| (peer.tool.clone(), peer.cpu));
        self.against("first backup, mixed, fast level", "CPU s", fast.as_ref().map(cpu), borg, 0.5);
        for (what, unit, figure, bound) in [
            ("first backup, mixed, fast level: wall", "s", wall as fn(&Figure) -> f64, 0.4),
            ("first backup, mixed, fast level: repository", "MiB", stored, 1.15),
        ] {
            let peer =
                self.figures.best(Operation::First, figure).map(|peer| (peer.tool.clone(), figure(peer)));
            self.against(what, unit, fast.as_ref().map(figure), peer, bound);
        }
    }

    fn sinks(&mut self) {
        let one = self.figures.ours(Operation::First).map(|one| ("one sink".to_owned(), one.user));
        for (what, operation, bound) in
            [("two sinks", Operation::TwoSinks, 1.05), ("three sinks", Operation::ThreeSinks, 1.1)]
        {
            let ours = self.figures.ours(operation).map(|figure| figure.user);
            self.against(&format!("mixed to {what}"), "user s", ours, one.clone(), bound);
        }
        if let Some(dedup) = self.figures.ours(Operation::IntoRestics).map(|figure| figure.data_blobs) {
            self.give(Row::absolute("into what restic filled: new data", "blobs", dedup).at_most(0.0));
        }
    }

    fn changed(&mut self, name: &str) {
        self.best(&format!("1 % changed, {name}"), Operation::Changed, "CPU s", cpu, 0.6);
        let ours = self.figures.ours(Operation::Changed).map(stored);
        let peer =
            self.figures.of(Operation::Changed, "restic").map(|peer| (peer.tool.clone(), stored(peer)));
        self.against(&format!("1 % changed, {name}: added"), "MiB", ours, peer, 1.02);
    }

    fn reading(&mut self, name: &str) {
        self.best(&format!("restore, {name}"), Operation::Restore, "CPU s", cpu, 0.7);
        let ours = self.figures.ours(Operation::Check).map(cpu);
        let peer = self.figures.of(Operation::Check, "restic").map(|peer| (peer.tool.clone(), peer.cpu));
        self.against(&format!("check of all data, {name}"), "CPU s", ours, peer, 0.6);
        for (what, operation) in [("restore", Operation::Restore), ("check of all data", Operation::Check)] {
            if let Some(peak) = self.figures.ours(operation).map(|figure| figure.peak / MIB) {
                let what = format!("{what}, {name}: memory");
                self.give(Row::absolute(what, "MiB", peak).at_most(200.0));
            }
        }
    }

    /// What is left of the peak without 64 bytes for each blob.
    fn memory(&mut self, name: &str) {
        if let Some(ours) = self.figures.ours(Operation::First) {
            let rest = (ours.peak - 64.0 * ours.blobs) / MIB;
            let what = format!("first backup, {name}: memory beside the index");
            self.give(Row::absolute(what, "MiB", rest).at_most(128.0));
        }
    }
}
