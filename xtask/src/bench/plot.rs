//! A bar for each row: ours against the peer.

use std::fmt::Write;

use super::row::Row;

const LEFT: f64 = 330.0;
const SCALE: f64 = 180.0;
const WIDTH: f64 = LEFT + 2.2 * SCALE;
const STEP: f64 = 26.0;

/// An SVG picture; the line at 1 is the peer, a bar that runs past 2 is cut there and keeps its number.
pub(crate) fn svg(rows: &[Row]) -> String {
    let shown: Vec<(&Row, f64)> = rows.iter().filter_map(|row| Some((row, row.ratio?))).collect();
    let height = STEP.mul_add(shown.len() as f64, 30.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<style>text{{fill:#555}}.y{{fill:#2a7f62}}.n{{fill:#b5533c}}\
         @media(prefers-color-scheme:dark){{text{{fill:#bbb}}}}</style>\n"
    );
    for (index, (row, ratio)) in shown.iter().enumerate() {
        let y = STEP.mul_add(index as f64, 8.0);
        let class = if row.met { "y" } else { "n" };
        let width = ratio.clamp(0.0, 2.0) * SCALE;
        let text = y + 13.0;
        let label = escape(&format!("{} / {}", row.what, row.against));
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{text:.0}\" text-anchor=\"end\">{label}</text>\
             <rect class=\"{class}\" x=\"{LEFT:.0}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"18\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{text:.0}\">{ratio:.2}</text>",
            LEFT - 8.0,
            LEFT + width + 5.0
        );
    }
    let one = LEFT + SCALE;
    let _ = writeln!(
        out,
        "<line x1=\"{one:.0}\" x2=\"{one:.0}\" y1=\"2\" y2=\"{:.0}\" stroke=\"#888\" stroke-dasharray=\"3 3\"/>\
         <text x=\"{one:.0}\" y=\"{:.0}\" text-anchor=\"middle\">the peer = 1</text>\n</svg>",
        height - 16.0,
        height - 4.0
    );
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
