//! One row: a question, our answer, the peer's, and whether the target is met.

use serde_json::{Value, json};

use crate::Result;

/// A measured row. `ratio` is ours divided by the peer's; whether small or large is good, `target` says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) bench: String,
    pub(crate) what: String,
    pub(crate) ours: f64,
    /// The peer's figure and name; none for a row that has an absolute target.
    pub(crate) peer: Option<f64>,
    pub(crate) against: String,
    pub(crate) unit: String,
    pub(crate) ratio: Option<f64>,
    pub(crate) target: String,
    pub(crate) met: bool,
}

impl Row {
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).map_err(|e| format!("not a row: {e}: {line}"))?;
        let text = |field: &str| value[field].as_str().map(str::to_owned);
        let row = || {
            Some(Self {
                bench: text("bench")?,
                what: text("what")?,
                ours: value["ours"].as_f64()?,
                peer: value["peer"].as_f64(),
                against: text("against").unwrap_or_default(),
                unit: text("unit")?,
                ratio: value["ratio"].as_f64(),
                target: text("target")?,
                met: value["met"].as_bool()?,
            })
        };
        row().ok_or_else(|| format!("a row lacks a field: {line}"))
    }

    pub(crate) fn json(&self) -> String {
        json!({
            "bench": self.bench, "what": self.what, "ours": self.ours, "peer": self.peer,
            "against": self.against, "unit": self.unit, "ratio": self.ratio, "target": self.target,
            "met": self.met,
        })
        .to_string()
    }

    /// For a terminal.
    pub(crate) fn line(&self) -> String {
        let (peer, ratio) = self.peer_cells();
        let met = self.judged(["met", "MISSED", ""]);
        let ours = figure(self.ours);
        format!(
            "{:<44} ours {ours:>9} {:<8} peer {peer:<24} ratio {ratio:>6}  target {:<10} {met}",
            self.what, self.unit, self.target
        )
    }

    /// For the page.
    pub(crate) fn markdown(&self) -> String {
        let (peer, ratio) = self.peer_cells();
        let met = self.judged(["yes", "**no**", "–"]);
        format!(
            "| {} | {} {} | {peer} | {ratio} | {} | {met} |",
            self.what,
            figure(self.ours),
            self.unit,
            self.target
        )
    }

    fn peer_cells(&self) -> (String, String) {
        let peer = self.peer.map_or_else(|| "–".into(), |peer| format!("{} {}", figure(peer), self.against));
        (peer, self.ratio.map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}")))
    }

    /// What to say where the target is met, where it is missed, and where there is none.
    fn judged(&self, [met, missed, none]: [&'static str; 3]) -> &'static str {
        match (self.target.as_str(), self.met) {
            ("none", _) => none,
            (_, true) => met,
            (_, false) => missed,
        }
    }
}

/// A figure with three digits that mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_its_own_json() {
        let line = r#"{"bench":"cache","what":"L1 hit","ours":21.5,"peer":50,"against":"moka","unit":"ns","ratio":0.43,"target":"≤ 0.6","met":true}"#;
        let row = Row::parse(line).unwrap();
        assert_eq!(Row::parse(&row.json()).unwrap(), row);
        assert_eq!(row.markdown(), "| L1 hit | 21.5 ns | 50.0 moka | 0.43 | ≤ 0.6 | yes |");
        assert!(Row::parse(r#"{"bench":"cache"}"#).unwrap_err().contains("lacks a field"));
        assert!(Row::parse("noise").is_err());
    }
}
