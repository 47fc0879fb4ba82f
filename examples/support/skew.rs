//! A skewed read load: Zipf's law by rejection-inversion.
//!
//! W. Hörmann and G. Derflinger, *Rejection-inversion to generate variates from monotone discrete
//! distributions*, ACM TOMACS 6(3), 1996.

/// Draws ranks 0 .. n, rank k with a weight of 1 / (k + 1)^s.
pub(crate) struct Zipf {
    n: f64,
    s: f64,
    low: f64,
    high: f64,
    shift: f64,
    random: fastrand::Rng,
}

impl Zipf {
    /// `n` ranks with the exponent `s` (not 1), from a seed.
    pub(crate) fn new(n: usize, s: f64, seed: u64) -> Self {
        let n = n.max(1) as f64;
        let mut zipf = Self { n, s, low: 0.0, high: 0.0, shift: 0.0, random: fastrand::Rng::with_seed(seed) };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(n + 0.5);
        zipf.shift = 2.0 - zipf.inverse(zipf.integral(2.5) - 2f64.powf(-s));
        zipf
    }

    /// The next rank.
    pub(crate) fn draw(&mut self) -> usize {
        loop {
            let u = self.high + self.random.f64() * (self.low - self.high);
            let x = self.inverse(u);
            let k = x.round().clamp(1.0, self.n);
            if k - x <= self.shift || u >= self.integral(k + 0.5) - k.powf(-self.s) {
                return k as usize - 1;
            }
        }
    }

    fn integral(&self, x: f64) -> f64 {
        (x.powf(1.0 - self.s) - 1.0) / (1.0 - self.s)
    }

    fn inverse(&self, y: f64) -> f64 {
        (1.0 + y * (1.0 - self.s)).max(0.0).powf(1.0 / (1.0 - self.s))
    }
}
