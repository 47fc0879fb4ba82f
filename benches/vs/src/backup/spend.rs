//! What a process costs.

use std::fs;
use std::process::Command;
use std::time::Duration;

use testkit::Subject;

use crate::BoxError;

/// No run of any contestant takes longer.
const LIMIT: Duration = Duration::from_secs(1800);
/// Linux counts the time of children in hundredths of a second.
const TICKS: f64 = 100.0;

/// What a process and its children cost.
#[derive(Debug, Clone)]
pub(crate) struct Spend {
    /// Seconds of processor time outside of the kernel, and in it.
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Seconds on the wall.
    pub(crate) wall: f64,
    /// The most resident memory, in bytes.
    pub(crate) peak: u64,
    /// What it printed.
    pub(crate) output: String,
}

impl Spend {
    /// All processor time, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// Runs `command` to its end, which must be a good one.
pub(crate) fn spend(command: Command) -> Result<Spend, BoxError> {
    let name = format!("{command:?}");
    let before = children()?;
    let ended = Subject::start(command).wait(LIMIT);
    let after = children()?;
    if !ended.ok() {
        return Err(format!("{name}: {}", ended.output()).into());
    }
    Ok(Spend {
        user: after.0 - before.0,
        system: after.1 - before.1,
        wall: ended.took.as_secs_f64(),
        peak: ended.peak_memory,
        output: ended.stdout,
    })
}

/// User and system time of all children that ended so far; only one is under way at a time.
fn children() -> Result<(f64, f64), BoxError> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13);
    let mut next = || fields.next().and_then(|field| field.parse::<f64>().ok());
    match (next(), next()) {
        (Some(user), Some(system)) => Ok((user / TICKS, system / TICKS)),
        _ => Err("/proc/self/stat has no times of children".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_child_is_charged() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo done"]);
        let spent = spend(command).unwrap();
        assert!(spent.cpu() > 0.01 && spent.wall > 0.0 && spent.output == "done\n", "{spent:?}");
        assert!(spend(Command::new("false")).is_err());
    }
}
