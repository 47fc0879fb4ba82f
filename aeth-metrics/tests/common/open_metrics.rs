//! A strict parser of OpenMetrics 1.0 text, written from the specification's ABNF and rules.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub unit: Option<String>,
    pub help: Option<String>,
    pub samples: Vec<Sample>,
}

/// Parses, or says which line breaks which rule.
pub fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("must end in `# EOF` and a newline")?;
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in body.split_terminator('\n') {
        let fail = |rule: &str| Err(format!("{rule}: {line:?}"));
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (Some(what), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
                return fail("metadata needs a name and a text");
            };
            if !is_name(name, true) {
                return fail("bad family name");
            }
            if current.as_deref() != Some(name) {
                if families.contains_key(name) {
                    return fail("families must not be interleaved");
                }
                current = Some(name.to_owned());
            }
            let family = families.entry(name.to_owned()).or_default();
            if !family.samples.is_empty() {
                return fail("metadata after samples");
            }
            let twice = match what {
                "TYPE" => !std::mem::replace(&mut family.kind, rest.to_owned()).is_empty(),
                "UNIT" => family.unit.replace(rest.to_owned()).is_some(),
                "HELP" => family.help.replace(unescape(rest)?).is_some(),
                _ => return fail("unknown metadata"),
            };
            if twice {
                return fail("metadata given twice");
            }
            if what == "UNIT" && !name.ends_with(&format!("_{rest}")) {
                return fail("the unit must be the name's suffix");
            }
            continue;
        }
        let sample = sample(line)?;
        let Some(name) = &current else { return fail("sample without family") };
        let family = families.get_mut(name).ok_or("family lost")?;
        let suffix = sample.name.strip_prefix(name.as_str()).ok_or(format!("foreign sample {line:?}"))?;
        let allowed: &[&str] = match family.kind.as_str() {
            "counter" => &["_total", "_created"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count", "_created"],
            _ => return fail("unknown type"),
        };
        if !allowed.contains(&suffix) {
            return fail("suffix does not belong to the type");
        }
        if family.kind == "counter" && !(sample.value >= 0.0 && sample.value.is_finite()) {
            return fail("counters must be finite and not negative");
        }
        if family.samples.iter().any(|s| s.name == sample.name && s.labels == sample.labels) {
            return fail("series given twice");
        }
        family.samples.push(sample);
    }
    let names: Vec<&String> = families.keys().collect();
    for name in &names {
        for suffix in ["_total", "_created", "_bucket", "_sum", "_count", "_info"] {
            if families.contains_key(&format!("{name}{suffix}")) {
                return Err(format!("`{name}{suffix}` could be a sample of `{name}`"));
            }
        }
    }
    for (name, family) in &families {
        if family.kind == "histogram" {
            histogram(name, family)?;
        }
    }
    Ok(families)
}

fn histogram(name: &str, family: &Family) -> Result<(), String> {
    let without_le = |labels: &[(String, String)]| -> Vec<(String, String)> {
        labels.iter().filter(|(label, _)| label != "le").cloned().collect()
    };
    let series: BTreeSet<_> = family.samples.iter().map(|s| without_le(&s.labels)).collect();
    for labels in series {
        let mine: Vec<_> = family.samples.iter().filter(|s| without_le(&s.labels) == labels).collect();
        let (mut bound, mut count, mut last) = (f64::NEG_INFINITY, 0.0, None);
        for bucket in mine.iter().filter(|s| s.name == format!("{name}_bucket")) {
            let le = &bucket.labels.iter().find(|(label, _)| label == "le").ok_or("bucket without le")?.1;
            let le: f64 = if le == "+Inf" { f64::INFINITY } else { number(le)? };
            if le <= bound || bucket.value < count {
                return Err(format!("buckets of {name} must grow"));
            }
            (bound, count, last) = (le, bucket.value, Some(bucket.value));
        }
        let total = mine.iter().find(|s| s.name == format!("{name}_count")).map(|s| s.value);
        if bound != f64::INFINITY || last != total {
            return Err(format!("{name}: the +Inf bucket must be there and equal _count"));
        }
        if !mine.iter().any(|s| s.name == format!("{name}_sum")) {
            return Err(format!("{name} has no _sum"));
        }
    }
    Ok(())
}

fn sample(line: &str) -> Result<Sample, String> {
    let fail = |rule: &str| format!("{rule}: {line:?}");
    let end = line.find(['{', ' ']).ok_or_else(|| fail("no value"))?;
    let name = &line[..end];
    if !is_name(name, true) {
        return Err(fail("bad sample name"));
    }
    let (labels, rest) = match line[end..].strip_prefix('{') {
        Some(rest) => labels(rest).map_err(|rule| fail(&rule))?,
        None => (Vec::new(), &line[end..]),
    };
    let value = rest.strip_prefix(' ').ok_or_else(|| fail("one space before the value"))?;
    if value.contains(' ') {
        return Err(fail("timestamps and exemplars are not written here"));
    }
    Ok(Sample { name: name.to_owned(), labels, value: number(value).map_err(|rule| fail(&rule))? })
}

type Labels = Vec<(String, String)>;

fn labels(mut rest: &str) -> Result<(Labels, &str), String> {
    let mut labels = Labels::new();
    loop {
        let equals = rest.find('=').ok_or("label without =")?;
        let name = &rest[..equals];
        if !is_name(name, false) {
            return Err(format!("bad label name {name:?}"));
        }
        if labels.iter().any(|(other, _)| other == name) {
            return Err(format!("label {name} given twice"));
        }
        rest = rest[equals + 1..].strip_prefix('"').ok_or("label value must be quoted")?;
        let mut escaped = false;
        let close = rest
            .char_indices()
            .find(|(_, c)| {
                let closes = *c == '"' && !escaped;
                escaped = *c == '\\' && !escaped;
                closes
            })
            .ok_or("label value not closed")?
            .0;
        labels.push((name.to_owned(), unescape(&rest[..close])?));
        rest = &rest[close + 1..];
        match rest.chars().next() {
            Some(',') => rest = &rest[1..],
            Some('}') => return Ok((labels, &rest[1..])),
            _ => return Err("label list must go on or end".to_owned()),
        }
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') => out.push('"'),
                other => return Err(format!("bad escape \\{other:?}")),
            },
            '"' => return Err("bare quote".to_owned()),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        text if text.chars().all(|c| c.is_ascii_digit() || "+-.e".contains(c)) => {
            text.parse().map_err(|_| format!("bad number {text:?}"))
        }
        text => Err(format!("bad number {text:?}")),
    }
}

fn is_name(name: &str, colons: bool) -> bool {
    let good = |c: char| c.is_ascii_alphabetic() || c == '_' || (colons && c == ':');
    name.chars().next().is_some_and(good) && name.chars().all(|c| good(c) || c.is_ascii_digit())
}
