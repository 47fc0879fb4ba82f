//! What a measurement says.

use serde_json::json;

/// One question, our figure, the peer's, and the target.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    unit: &'static str,
    ours: f64,
    peer: Option<(String, f64)>,
    target: Target,
}

#[derive(Debug)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It is there to compare with.
    Open,
}

impl Row {
    /// A row with a peer; the target bounds ours divided by the peer's.
    pub(crate) fn against(
        what: impl Into<String>,
        unit: &'static str,
        ours: f64,
        peer: (impl Into<String>, f64),
    ) -> Self {
        let peer = Some((peer.0.into(), peer.1));
        Self { what: what.into(), unit, ours, peer, target: Target::AtMost(1.0) }
    }

    /// A row without a peer; the target bounds our own figure.
    pub(crate) fn absolute(what: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self { what: what.into(), unit, ours, peer: None, target: Target::AtMost(0.0) }
    }

    /// Small is good: times, bytes, memory.
    pub(crate) fn at_most(self, bound: f64) -> Self {
        Self { target: Target::AtMost(bound), ..self }
    }

    /// Told for comparison; nothing is asked of it.
    pub(crate) fn open(self) -> Self {
        Self { target: Target::Open, ..self }
    }

    /// Large is good: throughput.
    pub(crate) fn at_least(self, bound: f64) -> Self {
        Self { target: Target::AtLeast(bound), ..self }
    }

    /// The line that `cargo xtask bench` reads.
    pub(crate) fn json(&self, bench: &str) -> String {
        let ratio = self.peer.as_ref().map(|(_, peer)| self.ours / peer);
        let judged = ratio.unwrap_or(self.ours);
        let (target, met) = match self.target {
            Target::AtMost(bound) => (format!("≤ {bound}"), judged <= bound),
            Target::AtLeast(bound) => (format!("≥ {bound}"), judged >= bound),
            Target::Open => ("none".to_owned(), true),
        };
        json!({
            "bench": bench, "what": self.what, "ours": self.ours, "peer": self.peer.as_ref().map(|(_, peer)| peer),
            "against": self.peer.as_ref().map(|(name, _)| name), "unit": self.unit, "ratio": ratio,
            "target": target, "met": met,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_judged_against_a_peer_and_the_figure_without_one() {
        let row = Row::against("hit", "ns", 20.0, ("moka", 50.0)).at_most(0.5);
        assert!(row.json("cache").contains(r#""met":true"#));
        assert!(row.at_least(0.5).json("cache").contains(r#""met":false"#));
        let row = Row::absolute("allocations", "", 1.0);
        assert!(row.json("cache").contains(r#""met":false"#));
        let row = row.at_most(1.0);
        assert!(row.json("cache").contains(r#""ratio":null"#));
        assert!(row.open().json("cache").contains(r#""target":"none""#));
    }
}
