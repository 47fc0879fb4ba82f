//! How thoroughly is pruned.

use crate::progress::{Observer, Progress, Watch};
use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How much of the repository may be unused afterwards. Blobs that nobody needs in a pack with others that
/// somebody does can only be removed by writing the others again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum MaxUnused {
    /// So many bytes.
    Bytes(u64),
    /// So many per cent of what is there afterwards, 0 to below 100.
    Percent(f64),
    /// Any amount: no pack is written again for this.
    Unlimited,
}

impl Default for MaxUnused {
    fn default() -> Self {
        Self::Percent(5.0)
    }
}

impl MaxUnused {
    /// The limit in bytes, when `used` bytes are in use.
    pub(super) fn limit(self, used: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Unlimited => u64::MAX,
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share: the last digits do not matter, and the cast saturates"
            )]
            Self::Percent(percent) => {
                let share = percent.clamp(0.0, 99.99);
                (share / (100.0 - share) * used as f64) as u64
            }
        }
    }
}

impl std::fmt::Display for MaxUnused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl std::str::FromStr for MaxUnused {
    type Err = Error;

    /// `unlimited`, `5%`, or bytes as a number with `K`, `M`, `G` or `T` (powers of 1024).
    ///
    /// # Errors
    /// `Invalid` for anything else.
    fn from_str(text: &str) -> Result<Self> {
        let invalid = || {
            Error::invalid("not an amount of unused space")
                .with_key(text)
                .with_remedy("write `unlimited`, a share such as 5%, or bytes such as 200M")
        };
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        if let Some(share) = text.strip_suffix('%') {
            let share: f64 = share.trim().parse().map_err(|_| invalid())?;
            return if (0.0..100.0).contains(&share) { Ok(Self::Percent(share)) } else { Err(invalid()) };
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let shift = match unit.trim().to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
            "" => 0,
            "K" => 10,
            "M" => 20,
            "G" => 30,
            "T" => 40,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(1 << shift).map(Self::Bytes).ok_or_else(invalid)
    }
}

impl TryFrom<String> for MaxUnused {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<MaxUnused> for String {
    fn from(limit: MaxUnused) -> Self {
        limit.to_string()
    }
}

/// How a repository is pruned.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    pub(super) max_unused: MaxUnused,
    pub(super) max_repack: u64,
    pub(super) repack_below: Option<u64>,
    pub(super) recompress: bool,
    pub(super) exclusive: bool,
    pub(super) grace: Duration,
    pub(super) wait: Duration,
    pub(super) dry_run: bool,
    pub(super) progress: Progress,
    pub(super) watch: Watch,
    pub(super) cancel: CancellationToken,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: MaxUnused::default(),
            max_repack: u64::MAX,
            repack_below: None,
            recompress: false,
            exclusive: false,
            grace: Duration::ZERO,
            wait: Duration::from_secs(30),
            dry_run: false,
            progress: Progress::default(),
            watch: Watch::default(),
            cancel: CancellationToken::new(),
        }
    }
}

impl PruneOptions {
    /// Two phases, at most 5 % unused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much may be unused afterwards. Default: 5 %, as restic.
    #[must_use]
    pub fn max_unused(mut self, limit: MaxUnused) -> Self {
        self.max_unused = limit;
        self
    }

    /// Writes at most so many bytes of packs again; more is left for later runs. Default: no limit.
    #[must_use]
    pub fn max_repack(mut self, bytes: u64) -> Self {
        self.max_repack = bytes;
        self
    }

    /// Packs shorter than so many bytes are joined, when there are ten of them. Default: those shorter than four
    /// fifths of what most packs have, as restic.
    #[must_use]
    pub fn repack_below(mut self, bytes: u64) -> Self {
        self.repack_below = Some(bytes);
        self
    }

    /// Compresses data that an older writer stored uncompressed (trees are compressed in any case). Default: no.
    #[must_use]
    pub fn recompress(mut self, recompress: bool) -> Self {
        self.recompress = recompress;
        self
    }

    /// Does everything in one phase under an exclusive lock. Shorter, where nobody else wants to write. Default: no.
    #[must_use]
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.exclusive = exclusive;
        self
    }

    /// Removes only packs that were marked at least this long ago. Default: zero, which is safe with every writer
    /// that takes a lock, ours and restic's. rustic takes none: where it writes, choose more than its longest run.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long phase two waits for those who have a lock. When they are not through by then, what was marked is
    /// removed by the next prune. Default: 30 seconds.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Only says what would be done.
    #[must_use]
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// Counts into `progress`: trees as directories, packs written again as files.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.watch = Watch(Some(Arc::new(observer)));
        self
    }

    /// Stops when `token` is cancelled; the repository is valid then, and the next prune goes on.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::MaxUnused;

    #[test]
    fn limits() {
        assert_eq!(MaxUnused::Percent(50.0).limit(100), 100);
        assert_eq!("5%".parse::<MaxUnused>().unwrap().limit(95), 5);
        assert_eq!("2KiB".parse::<MaxUnused>().unwrap(), MaxUnused::Bytes(2048));
        assert_eq!("0".parse::<MaxUnused>().unwrap().limit(7), 0);
        assert_eq!("unlimited".parse::<MaxUnused>().unwrap().limit(7), u64::MAX);
        for bad in ["", "100%", "-1%", "5X", "%", "99999999999T"] {
            assert!(bad.parse::<MaxUnused>().is_err(), "{bad}");
        }
    }
}
