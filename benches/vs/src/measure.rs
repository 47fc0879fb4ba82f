//! Measuring fairly: contestants take turns in one run, and the median counts.

use std::time::{Duration, Instant};

/// Turns that each contestant gets.
const ROUNDS: usize = 21;
/// How long a turn takes, about: long beside the clock's grain, short beside a change of frequency.
const TURN: Duration = Duration::from_millis(20);

/// A contestant: does its work as often as it is told, and leaves nothing for the next turn.
pub(crate) type Contestant<'a> = &'a mut dyn FnMut(u64);

/// Nanoseconds for each repetition, the median of every contestant's turns.
pub(crate) fn nanoseconds(contestants: &mut [Contestant<'_>]) -> Vec<f64> {
    turns(contestants, time)
}

/// The same for contestants that stay on the calling thread: what they spend on the processor, where the system
/// tells it (Linux: `schedstat`, proc(5)). Neighbours on a busy machine then cost them nothing but their caches.
pub(crate) fn cpu_nanoseconds(contestants: &mut [Contestant<'_>]) -> Vec<f64> {
    turns(contestants, |contestant, n| {
        let before = on_processor();
        let passed = time(contestant, n);
        match (before, on_processor()) {
            (Some(before), Some(after)) => after.saturating_sub(before),
            _ => passed,
        }
    })
}

/// How long this thread has run. The kernel brings the figure up to date when the thread yields.
fn on_processor() -> Option<Duration> {
    std::thread::yield_now();
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(told.split_whitespace().next()?.parse().ok()?))
}

fn turns(
    contestants: &mut [Contestant<'_>],
    time: impl Fn(&mut Contestant<'_>, u64) -> Duration,
) -> Vec<f64> {
    let repetitions: Vec<u64> =
        contestants.iter_mut().map(|contestant| calibrate(contestant, &time)).collect();
    let mut samples = vec![Vec::with_capacity(ROUNDS); contestants.len()];
    for _ in 0..ROUNDS {
        for ((contestant, &n), samples) in contestants.iter_mut().zip(&repetitions).zip(&mut samples) {
            samples.push(time(contestant, n).as_secs_f64() * 1e9 / n as f64);
        }
    }
    samples.into_iter().map(median).collect()
}

/// How many repetitions make a turn; warms up on the way.
fn calibrate(contestant: &mut Contestant<'_>, time: &impl Fn(&mut Contestant<'_>, u64) -> Duration) -> u64 {
    let mut n = 1;
    loop {
        let took = time(contestant, n);
        if took >= TURN / 2 || n >= 1 << 40 {
            let scale = TURN.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return ((n as f64 * scale) as u64).max(1);
        }
        n *= 2;
    }
}

fn time(contestant: &mut Contestant<'_>, n: u64) -> Duration {
    let started = Instant::now();
    contestant(n);
    started.elapsed()
}

/// The middle of the samples.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a clock that the contestants themselves move: a busy machine decides nothing.
    #[test]
    fn the_slower_contestant_is_seen_to_be_slower() {
        let now = std::cell::Cell::new(0_u64);
        let mut short = |n| now.set(now.get() + 100 * n);
        let mut long = |n| now.set(now.get() + 1000 * n);
        let times = turns(&mut [&mut short, &mut long], |contestant, n| {
            let before = now.get();
            contestant(n);
            Duration::from_nanos(now.get() - before)
        });
        for (time, expected) in times.iter().zip([100.0, 1000.0]) {
            assert!((time - expected).abs() < 1e-6, "{times:?}");
        }
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
    }
}
