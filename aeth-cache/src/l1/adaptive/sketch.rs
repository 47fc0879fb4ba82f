//! How often keys were wanted, present or not: a count-min sketch of four-bit counters that are halved now and then
//! (Einziger, Friedman, Manes, *TinyLFU: A Highly Efficient Cache Admission Policy*, ACM TOS 2017).

/// The greatest count.
pub(super) const MOST: u8 = 15;
/// A key has so many counters, one in each quarter of a word.
const ROWS: u32 = 4;
/// Counts are halved after so many for each key that is to be told apart.
const SAMPLE: u64 = 10;
const HALVES: u64 = 0x7777_7777_7777_7777;
const SEEDS: [u64; ROWS as usize] =
    [0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0xD6E8_FEB8_6659_FD93, 0x9E37_79B9_7F4A_7C15];

/// The sketch, of eight bytes for each key.
pub(super) struct Sketch {
    words: Box<[u64]>,
    counted: u64,
    sample: u64,
}

impl Sketch {
    /// For so many keys, at least 64.
    pub(super) fn new(keys: usize) -> Self {
        let words = keys.clamp(64, 1 << 28).next_power_of_two();
        Self { words: vec![0; words].into(), counted: 0, sample: words as u64 * SAMPLE }
    }

    /// How many keys it tells apart.
    pub(super) fn keys(&self) -> usize {
        self.words.len()
    }

    /// The word and the bit at which a key's counter of a row begins.
    fn place(&self, hash: u64, row: u32) -> (usize, u32) {
        let bits = hash.wrapping_mul(SEEDS[row as usize]);
        let bits = bits ^ bits >> 32;
        // The length is a power of two below 2³².
        let word = usize::try_from(bits & (self.words.len() as u64 - 1)).unwrap_or(0);
        let nibble = u32::try_from(bits >> 60 & 3).unwrap_or(0);
        (word, (ROWS * row + nibble) * 4)
    }

    /// How often a key was wanted lately; at most [`MOST`].
    pub(super) fn estimate(&self, hash: u64) -> u8 {
        let counter = |row| {
            let (word, bit) = self.place(hash, row);
            u8::try_from(self.words[word] >> bit & u64::from(MOST)).unwrap_or(MOST)
        };
        (0..ROWS).map(counter).min().unwrap_or(0)
    }

    /// Counts a key.
    pub(super) fn add(&mut self, hash: u64, times: u8) {
        for _ in 0..times {
            let mut grew = false;
            for row in 0..ROWS {
                let (word, bit) = self.place(hash, row);
                if self.words[word] >> bit & u64::from(MOST) < u64::from(MOST) {
                    self.words[word] += 1 << bit;
                    grew = true;
                }
            }
            if !grew {
                return;
            }
            self.counted += 1;
            if self.counted >= self.sample {
                self.words.iter_mut().for_each(|word| *word = *word >> 1 & HALVES);
                self.counted /= 2;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_keys_are_told_from_rare_ones_and_are_forgotten() {
        let hash = |key: u64| (key + 1).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
        let mut sketch = Sketch::new(1000);
        for key in 0..1000 {
            sketch.add(hash(key), if key < 100 { 6 } else { 1 });
        }
        assert!((0..100).all(|key| sketch.estimate(hash(key)) >= 6));
        let over = (100..1000).filter(|key| sketch.estimate(hash(*key)) > 2).count();
        assert!(over < 20, "{over} of 900 are taken for frequent");
        for key in 0..20_000 {
            sketch.add(hash(10_000 + key), 1);
        }
        let still = (0..100).filter(|key| sketch.estimate(hash(*key)) >= 6).count();
        assert!(still < 60, "{still} of 100 are still taken for frequent");
        sketch.add(hash(0), 200);
        assert_eq!(sketch.estimate(hash(0)), MOST);
    }
}
