//! Seeded campaigns: a test body run for many seeds, reproducible from the one that failed.

/// The cases of a campaign.
///
/// A test of the name `torture_*` in a crate's `tests/torture.rs` loops over [`campaign`]. Plain `cargo test`
/// runs the short slice that the test names; `cargo xtask torture` sets `AETH_TORTURE_COUNT` (cases) and
/// `AETH_TORTURE_SEED` (the first case's seed) for a long one. Case `i` has the seed `first + i`, and a case
/// that panics prints the command that runs it alone.
///
/// ```
/// for case in testkit::campaign("doc", 3) {
///     let mut rng = case.rng();
///     assert!(rng.u32(..10) < 10);
/// }
/// ```
#[must_use]
pub fn campaign(name: &'static str, short: u64) -> Campaign {
    Campaign {
        name,
        next: number("AETH_TORTURE_SEED").unwrap_or(1),
        left: number("AETH_TORTURE_COUNT").unwrap_or(short),
    }
}

/// An environment variable that holds a number; one that does not is a mistake to report.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.trim().parse().unwrap_or_else(|_| panic!("{variable} is `{text}`: give a whole number")))
}

/// An iterator over a campaign's [`Case`]s; see [`campaign`].
#[derive(Debug)]
pub struct Campaign {
    name: &'static str,
    next: u64,
    left: u64,
}

impl Iterator for Campaign {
    type Item = Case;

    fn next(&mut self) -> Option<Case> {
        self.left = self.left.checked_sub(1)?;
        let seed = self.next;
        self.next = seed.wrapping_add(1);
        Some(Case { name: self.name, seed })
    }
}

/// One run of a campaign; says how to repeat it when it is dropped by a panic.
#[derive(Debug)]
pub struct Case {
    name: &'static str,
    seed: u64,
}

impl Case {
    /// The seed that decides everything in this case.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A generator that starts from this case's seed.
    #[must_use]
    pub fn rng(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }
}

impl Drop for Case {
    #[allow(clippy::print_stderr, reason = "a test's output is where its reader looks")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "campaign {} failed with seed {}; to repeat: AETH_TORTURE_SEED={} AETH_TORTURE_COUNT=1 \
                 and the same test",
                self.name, self.seed, self.seed
            );
        }
    }
}
