//! `docs/benchmarks.md`: one section a bench, between markers, so that each is rendered alone.

use std::fs;

use super::row::Row;
use super::{machine, plot};
use crate::{Result, workspace};

const INTRODUCTION: &str = "# Benchmarks

Each row asks one question of ours and of the peer that is best at it, on the same machine, in the same run,
taking turns; a figure is the median of its rounds. *Ratio* is ours divided by the peer's; whether small or
large is good, the target says. `cargo xtask bench` measures and writes this page.
";

/// Writes the section of one bench, and its picture.
pub(crate) fn render(name: &str, title: &str, rows: &[Row]) -> Result<()> {
    let docs = workspace::root().join("docs");
    let page = docs.join("benchmarks.md");
    let pictures = docs.join("benchmarks");
    let fail = |e: std::io::Error| format!("docs/benchmarks.md: {e}");
    fs::create_dir_all(&pictures).map_err(fail)?;
    let picture = rows.iter().any(|row| row.ratio.is_some());
    if picture {
        fs::write(pictures.join(format!("{name}.svg")), plot::svg(rows)).map_err(fail)?;
    }
    let old = match fs::read_to_string(&page) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => INTRODUCTION.to_owned(),
        Err(e) => return Err(fail(e)),
    };
    fs::write(&page, replace(&old, name, &section(name, title, rows, picture))).map_err(fail)
}

fn section(name: &str, title: &str, rows: &[Row], picture: bool) -> String {
    let mut text = format!("## {title}\n\n{}\n\n", machine::facts());
    text.push_str("| what | ours | peer | ratio | target | met |\n|---|---|---|---|---|---|\n");
    for row in rows {
        text.push_str(&row.markdown());
        text.push('\n');
    }
    if picture {
        text.push_str(&format!("\n![ratios](benchmarks/{name}.svg)\n"));
    }
    text
}

/// Puts `section` between the markers of `name`, which are added at the end where they are missing.
fn replace(page: &str, name: &str, section: &str) -> String {
    let (open, close) = (format!("<!-- bench:{name} -->"), format!("<!-- /bench:{name} -->"));
    let block = format!("{open}\n{section}{close}");
    match page.split_once(&open).and_then(|(head, rest)| Some((head, rest.split_once(&close)?.1))) {
        Some((head, tail)) => format!("{head}{block}{tail}"),
        None => format!("{}\n\n{block}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_in_place_or_added() {
        let first = replace("# B\n", "a", "old\n");
        let both = replace(&first, "b", "other\n");
        let again = replace(&both, "a", "new\n");
        assert_eq!(
            again,
            "# B\n\n<!-- bench:a -->\nnew\n<!-- /bench:a -->\n\n<!-- bench:b -->\nother\n<!-- /bench:b -->\n"
        );
        assert_eq!(replace(&again, "b", "other\n"), again);
    }
}
