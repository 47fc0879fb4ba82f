//! What the server says of itself (`INFO`), by field.

use redis::Value;
use std::collections::HashMap;

/// The fields of one node.
#[derive(Debug, Clone, Default)]
pub(super) struct Info(HashMap<String, String>);

impl Info {
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).map(String::as_str)
    }

    pub(super) fn number(&self, field: &str) -> Option<f64> {
        self.text(field)?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// The keys of all databases.
    pub(super) fn keys(&self) -> f64 {
        let of = |(field, value): (&String, &String)| {
            field.strip_prefix("db")?.parse::<u32>().ok()?;
            value.strip_prefix("keys=")?.split(',').next()?.parse::<f64>().ok()
        };
        self.0.iter().filter_map(of).sum()
    }
}

impl From<&str> for Info {
    fn from(text: &str) -> Self {
        let field = |line: &str| {
            let (name, value) = line.trim().split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        };
        Self(text.lines().filter_map(field).collect())
    }
}

/// The nodes in an answer to `INFO`: one, or (of a cluster) one for each.
pub(super) fn nodes(answer: &Value) -> Vec<Info> {
    match answer {
        Value::BulkString(text) => vec![Info::from(&*String::from_utf8_lossy(text))],
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => vec![Info::from(text.as_str())],
        Value::Map(nodes) => nodes.iter().flat_map(|(_, answer)| self::nodes(answer)).collect(),
        Value::Array(answers) => match answers.as_slice() {
            [Value::BulkString(_) | Value::SimpleString(_), answer] => nodes(answer),
            answers => answers.iter().flat_map(nodes).collect(),
        },
        _ => Vec::new(),
    }
}
