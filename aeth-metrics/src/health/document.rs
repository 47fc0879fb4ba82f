//! `application/health+json`.

use super::ComponentHealth;
use aeth_core::observe::Status;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::SystemTime;

/// A health report in the form of draft-inadarei-api-health-check-06: `status` is `pass`, `warn` or `fail`;
/// `checks` has for each component `NAME:status`, `NAME:responseTime` and one entry for each observed figure.
/// Beyond the draft, `NAME:status` has `since`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HealthDocument {
    /// `pass`, `warn` or `fail`.
    pub status: &'static str,
    /// The reasons of the components that do not pass, one a line; absent when all pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The components' answers.
    pub checks: Map<String, Value>,
}

impl HealthDocument {
    /// The media type.
    pub const CONTENT_TYPE: &'static str = "application/health+json";

    pub(super) fn new(status: Status, components: &[ComponentHealth]) -> Self {
        let mut checks = Map::new();
        let mut reasons = Vec::new();
        for component in components {
            add(&mut checks, component);
            if component.health.status != Status::Up {
                let reason = component.health.reason.as_deref().unwrap_or("no reason given");
                reasons.push(format!("{}: {reason}", component.component));
            }
        }
        let output = (!reasons.is_empty()).then(|| reasons.join("\n"));
        Self { status: word(status), output, checks }
    }

    /// As JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps of strings and numbers always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn add(checks: &mut Map<String, Value>, component: &ComponentHealth) {
    let (name, health) = (&component.component, &component.health);
    let time = rfc3339(component.checked);
    let mut status = json!({
        "componentId": name,
        "componentType": if name == "volumes" { "system" } else { "datastore" },
        "observedValue": health.status.as_str(),
        "status": word(health.status),
        "time": time,
    });
    if let Some(fields) = status.as_object_mut() {
        if let Some(since) = health.since {
            fields.insert("since".to_owned(), rfc3339(since));
        }
        if let Some(reason) = &health.reason {
            fields.insert("output".to_owned(), Value::from(reason.as_ref()));
        }
    }
    checks.insert(format!("{name}:status"), Value::Array(vec![status]));
    let latency = json!({
        "componentId": name,
        "observedValue": health.latency.as_secs_f64() * 1e3,
        "observedUnit": "ms",
        "status": word(health.status),
        "time": time,
    });
    checks.insert(format!("{name}:responseTime"), Value::Array(vec![latency]));
    for (figure, value, unit) in &health.observed {
        let entry = json!({
            "componentId": name,
            "observedValue": value,
            "observedUnit": unit,
            "status": word(health.status),
            "time": time,
        });
        let list = checks.entry(format!("{name}:{figure}")).or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = list.as_array_mut() {
            list.push(entry);
        }
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Up => "pass",
        Status::Degraded => "warn",
        _ => "fail",
    }
}

fn rfc3339(time: SystemTime) -> Value {
    jiff::Timestamp::try_from(time).map_or(Value::Null, |timestamp| Value::from(timestamp.to_string()))
}
