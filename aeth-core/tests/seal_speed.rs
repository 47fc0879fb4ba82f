//! Measures sealing: `cargo test -p aeth-core --release --test seal_speed -- --ignored --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step fails the test, which prints what it measured"
)]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the real clock")]

use aeth_core::Secret;
use aeth_core::seal::{Keyset, PassphraseKdf, SegmentSize};
use bytes::Bytes;
use std::hint::black_box;
use std::time::{Duration, Instant};

const LEN: usize = 64 << 20;
const PIECE: usize = 256 << 10;
/// The target per core, GB/s.
const TARGET: f64 = 2.0;

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    work();
    let mut times: Vec<_> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn rate(name: &str, mut work: impl FnMut()) {
    let rate = LEN as f64 / median(9, &mut work).as_secs_f64() / 1e9;
    println!("{name:<48} {rate:>8.2} GB/s");
    assert!(rate >= TARGET, "{name} is slower than {TARGET} GB/s");
}

fn each(name: &str, count: u32, mut work: impl FnMut()) {
    let time = median(9, || (0..count).for_each(|_| work())) / count;
    println!("{name:<48} {:>8.2} us", time.as_secs_f64() * 1e6);
}

#[test]
#[ignore = "a measurement, meaningful in release on a quiet machine"]
fn speed() {
    let mut data = vec![0; LEN];
    fastrand::Rng::with_seed(1).fill(&mut data);
    let data = Bytes::from(data);

    for size in [4 << 10, 64 << 10, 1 << 20] {
        let keyset = Keyset::generate(SegmentSize::new(size).unwrap()).unwrap();
        let (sealed, commitment) = keyset.seal(b"aad", &data).unwrap();
        let kib = size >> 10;
        rate(&format!("seal a stream, {kib} KiB segments"), || {
            let mut sealer = keyset.sealer(b"aad").unwrap();
            for at in (0..LEN).step_by(PIECE) {
                let mut piece = data.slice(at..at + PIECE);
                while let Some(segment) = sealer.push(&mut piece).unwrap() {
                    black_box(segment);
                }
            }
            black_box(sealer.finish().unwrap());
        });
        rate(&format!("open a stream, {kib} KiB segments"), || {
            let mut opener = keyset.opener(b"aad", Some(&commitment));
            for at in (0..sealed.len()).step_by(PIECE) {
                let mut piece = sealed.slice(at..sealed.len().min(at + PIECE));
                while let Some(part) = opener.push(&mut piece).unwrap() {
                    black_box(part);
                }
            }
            black_box(opener.finish().unwrap());
        });
    }

    let keyset = Keyset::generate(SegmentSize::default()).unwrap();
    let (sealed, commitment) = keyset.seal(b"aad", &data).unwrap();
    // Objects of 1 MiB: a single one of 64 MiB would measure how the system hands out fresh pages.
    let objects: Vec<_> = (0..LEN).step_by(1 << 20).map(|at| data.slice(at..at + (1 << 20))).collect();
    let each_sealed: Vec<_> = objects.iter().map(|plain| keyset.seal(b"aad", plain).unwrap()).collect();
    rate("seal objects of 1 MiB, each at once", || {
        for plain in &objects {
            black_box(keyset.seal(b"aad", plain).unwrap());
        }
    });
    rate("open objects of 1 MiB, each at once", || {
        for (sealed, commitment) in &each_sealed {
            black_box(keyset.open(b"aad", Some(commitment), sealed.clone()).unwrap());
        }
    });

    let object = keyset.segment_opener(&sealed, b"aad", &commitment).unwrap();
    let map = object.map(sealed.len() as u64).unwrap();
    let mut rng = fastrand::Rng::with_seed(2);
    each("open 4 KiB anywhere (one or two 64 KiB segments)", 2000, || {
        let start = rng.u64(..(LEN - 4096) as u64);
        let cover = map.cover(start..start + 4096).unwrap();
        let fetch = cover.ciphertext();
        let ciphertext = sealed.slice(fetch.start as usize..fetch.end as usize);
        black_box(object.open_cover(&cover, ciphertext).unwrap());
    });
    let small = data.slice(..1024);
    let (sealed, commitment) = keyset.seal(b"aad", &small).unwrap();
    each("seal an object of 1 KiB", 10_000, || {
        black_box(keyset.seal(b"aad", &small).unwrap());
    });
    each("open an object of 1 KiB", 10_000, || {
        black_box(keyset.open(b"aad", Some(&commitment), sealed.clone()).unwrap());
    });
    each("bind an identity to a path", 10_000, || {
        black_box(keyset.bind(&[b"0123456789abcdef", b"some/path/of/an/object"]));
    });
    let passphrase = Secret::new("passphrase");
    let kdf = PassphraseKdf::new().unwrap();
    each("seal a keyset under a passphrase, default count", 1, || {
        black_box(keyset.to_sealed_json(&passphrase, &kdf).unwrap());
    });
}
