//! From a stream of bytes to chunks.

use super::Polynomial;
use super::lanes::find_cut;
use super::tables::{Tables, WINDOW};

/// No chunk but the last of a file is shorter, in bytes.
pub(crate) const MIN_SIZE: usize = 512 << 10;
/// No chunk is longer, in bytes.
pub(crate) const MAX_SIZE: usize = 8 << 20;
/// 20 bits: a cut every MiB on average.
const MASK: u64 = (1 << 20) - 1;

/// Finds the ends of chunks. Stateless between chunks, so one serves any number of threads.
pub(crate) struct Chunker {
    tables: Tables,
    min: usize,
    max: usize,
    mask: u64,
}

impl std::fmt::Debug for Chunker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunker").field("min", &self.min).field("max", &self.max).finish_non_exhaustive()
    }
}

impl Chunker {
    pub(crate) fn new(polynomial: Polynomial) -> Self {
        Self { tables: Tables::new(polynomial), min: MIN_SIZE, max: MAX_SIZE, mask: MASK }
    }

    /// The length of the chunk that begins with `data`, when it can be told from what is there: `None` asks
    /// for more bytes behind these. `scanned` is how far earlier calls for this chunk have looked; start with
    /// 0, keep it between calls. The end of the stream ends the last chunk, whatever its length; that is the
    /// caller's to see.
    pub(crate) fn cut(&self, data: &[u8], scanned: &mut usize) -> Option<usize> {
        let from = (*scanned + 1).max(self.min).max(WINDOW);
        let to = data.len().min(self.max);
        if from <= to
            && let Some(end) = find_cut(&self.tables, self.mask, data, from, to)
        {
            return Some(end);
        }
        *scanned = to.max(*scanned);
        (data.len() >= self.max).then_some(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// restic's own loop, byte by byte, with its ring buffer and the 1 that it starts from.
    fn serial(polynomial: Polynomial, data: &[u8], min: usize, max: usize, mask: u64) -> Vec<usize> {
        let tables = Tables::new(polynomial);
        let (mut ends, mut start) = (Vec::new(), 0);
        while start < data.len() {
            let mut window = [0_u8; WINDOW];
            window[0] = 1;
            let (mut digest, mut position) = (tables.push(0, 1), 1);
            let mut count = min - WINDOW;
            let mut end = data.len();
            for (i, byte) in data.iter().enumerate().skip(start + count) {
                let leaving = std::mem::replace(&mut window[position % WINDOW], *byte);
                digest = tables.slide(digest, leaving, *byte);
                position += 1;
                count += 1;
                if (digest & mask == 0 || count >= max) && count >= min {
                    end = i + 1;
                    break;
                }
            }
            ends.push(end);
            start = end;
        }
        ends
    }

    fn by_lanes(chunker: &Chunker, data: &[u8], read: usize) -> Vec<usize> {
        let (mut ends, mut start) = (Vec::new(), 0);
        while start < data.len() {
            let (mut scanned, mut have) = (0, 0);
            let length = loop {
                have = (have + read).min(data.len() - start);
                match chunker.cut(&data[start..start + have], &mut scanned) {
                    Some(length) => break length,
                    None if start + have == data.len() => break have,
                    None => {}
                }
            };
            start += length;
            ends.push(start);
        }
        ends
    }

    proptest! {
        #[test]
        fn lanes_cut_where_the_serial_loop_cuts(
            seed in any::<u64>(), length in 0_usize..300_000, min in 64_usize..3000, extra in 1_usize..100_000,
            bits in 6_u32..16, read in 1_usize..70_000, period in 0_usize..300,
        ) {
            let polynomial = Polynomial::new(0x003D_A335_8B4D_C173);
            let mut state = seed | 1;
            let mut data: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                })
                .collect();
            if period > 0 {
                // Repetitive data: cuts at every turn, or none at all.
                for i in period..data.len() {
                    data[i] = data[i % period];
                }
            }
            let mask = (1 << bits) - 1;
            let chunker = Chunker { tables: Tables::new(polynomial), min, max: min + extra, mask };
            prop_assert_eq!(by_lanes(&chunker, &data, read), serial(polynomial, &data, min, min + extra, mask));
        }
    }

    #[test]
    fn zeroes_are_cut_at_the_minimum() {
        // The digest of 64 zeroes is zero, so restic cuts a hole every 512 KiB.
        let chunker = Chunker::new(Polynomial::new(0x003D_A335_8B4D_C173));
        assert_eq!(chunker.cut(&vec![0; MIN_SIZE + 10], &mut 0), Some(MIN_SIZE));
        assert_eq!(chunker.cut(&vec![0; MIN_SIZE - 1], &mut 0), None);
    }
}
