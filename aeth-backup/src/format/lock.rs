//! Lock files.

use super::NodeTime;
use aeth_core::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A lock older than this that nobody has refreshed is dead, as restic has it.
const STALE: Duration = Duration::from_secs(30 * 60);

/// One file below `locks/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LockFile {
    pub(crate) time: NodeTime,
    pub(crate) exclusive: bool,
    #[serde(default)]
    pub(crate) hostname: String,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) pid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) gid: u32,
    /// `<boot>:<pid namespace>:<start time>` of the process: ours alone, restic ignores it. Hosts of the same
    /// name and containers share numbers of processes, but not these.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) process: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl LockFile {
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(crate::error::json("lock"))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(crate::error::json("lock"))
    }

    /// restic's rule: not refreshed for 30 minutes, or made on this host by a process that is gone.
    pub(crate) fn is_stale(&self, now: NodeTime, hostname: &str, alive: impl FnOnce(u32) -> bool) -> bool {
        let age = now.seconds().saturating_sub(self.time.seconds());
        let old = age > i64::try_from(STALE.as_secs()).unwrap_or(i64::MAX);
        old || (!hostname.is_empty() && self.hostname == hostname && !alive(self.pid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staleness() {
        let json =
            br#"{"time":"2026-11-23T10:00:00Z","exclusive":false,"hostname":"h","username":"u","pid":7}"#;
        let lock = LockFile::parse(json).unwrap();
        assert_eq!(lock.encode().unwrap(), json);
        let at = |minutes: i64| NodeTime::new(lock.time.seconds() + minutes * 60, 0);
        assert!(!lock.is_stale(at(29), "h", |pid| pid == 7));
        assert!(lock.is_stale(at(29), "h", |_| false));
        assert!(!lock.is_stale(at(29), "other", |_| false));
        assert!(lock.is_stale(at(31), "other", |_| true));
        // A clock that was set back makes no lock stale.
        assert!(!lock.is_stale(at(-9999), "h", |_| true));
    }
}
