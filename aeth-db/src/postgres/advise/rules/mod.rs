//! Each rule is a query that gives subject, problem, evidence and the mending statement.

mod indexes;
mod replication;
mod settings;
mod upkeep;

use super::Topic;

pub(super) struct Rule {
    pub(super) topic: Topic,
    pub(super) sql: &'static str,
}

/// All rules, by what they look at.
pub(super) const RULES: [&[Rule]; 4] = [settings::RULES, indexes::RULES, upkeep::RULES, replication::RULES];
