//! What a device has done (`/proc/diskstats`, the kernel's Documentation/admin-guide/iostats.rst).

use super::report::VolumeIo;
use std::time::Duration;

/// The kernel counts sectors of this size, whatever the device's own.
const SECTOR: u64 = 512;

/// The kernel's name of the device and what it has done since boot.
pub(super) fn find(diskstats: &str, device: (u32, u32)) -> Option<(String, VolumeIo)> {
    diskstats.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let number = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let name = fields.next()?;
        if number != device {
            return None;
        }
        let figures: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        let figure = |i: usize| figures.get(i).copied();
        let io = VolumeIo {
            reads: figure(0)?,
            read_bytes: figure(2)?.saturating_mul(SECTOR),
            writes: figure(4)?,
            written_bytes: figure(6)?.saturating_mul(SECTOR),
            busy: Duration::from_millis(figure(9)?),
        };
        Some((name.to_owned(), io))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_kernel() {
        let text = "   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0\n \
                    254       0 vda 10 1 80 5 20 2 160 6 0 7 11 0 0 0 0\n";
        let (name, io) = find(text, (254, 0)).unwrap();
        assert_eq!(name, "vda");
        assert_eq!((io.reads, io.writes), (10, 20));
        assert_eq!((io.read_bytes, io.written_bytes), (80 * 512, 160 * 512));
        assert_eq!(io.busy, Duration::from_millis(7));
        assert!(find(text, (254, 1)).is_none());
    }
}
