//! Long campaigns over the whole; see CONTRIBUTING.md, *Torture*.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{intact, on, repositories, succeeds};
use testkit::{Compare, Shape, Subject, assert_same_tree, temp_dir};

/// Killed at any moment: both repositories stay valid, dead locks go, the next run succeeds, DIR is untouched.
#[test]
fn torture_quickstart_killed() {
    for case in testkit::campaign("quickstart_killed", 2) {
        let mut rng = case.rng();
        let dir = temp_dir();
        let (tree, before, data) =
            (dir.path().join("tree"), dir.path().join("before"), dir.path().join("data"));
        let shape = Shape::new(case.seed()).files(120).bytes(3 << 20);
        shape.build(&tree).unwrap();
        shape.build(&before).unwrap();
        // Half of the cases kill a first run, the others one over data that stands.
        let whole = if rng.bool() {
            succeeds(on(&tree, &data)).took
        } else {
            succeeds(on(&tree, &dir.path().join("other"))).took
        };
        let kills = rng.usize(1..4);
        for _ in 0..kills {
            let after = whole.mul_f64(rng.f64()) + Duration::from_millis(1);
            Subject::start(on(&tree, &data)).kill_after(after);
            for restic in repositories(&data) {
                // A kill before the repository had its config leaves no repository to check.
                if restic.try_run(["cat", "config"]).is_ok() {
                    restic.run(["unlock"]);
                    assert_eq!(
                        restic.run(["list", "locks"]),
                        "",
                        "`restic unlock` left a dead process's lock"
                    );
                    restic.run(["check"]);
                }
            }
        }
        // Without `restic unlock` before: our own run removes what a dead process left.
        Subject::start(on(&tree, &data)).kill_after(whole.mul_f64(rng.f64()));
        succeeds(on(&tree, &data));
        for restic in repositories(&data) {
            assert_eq!(restic.run(["list", "locks"]), "", "a dead process's lock is still there");
        }
        intact(&data, true);
        assert_same_tree(&before, &tree, Compare::full());
    }
}
