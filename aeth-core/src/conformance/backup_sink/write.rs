//! Laws of writing.

use super::SinkSubject;
use crate::ErrorKind;
use crate::backup::{ObjectId, ObjectKind};
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::{fails, join, pattern, polls};
use crate::conformance::{Breach, Check};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// law: what-is-written-comes-back. Objects of every kind and of any size come back whole.
pub(super) async fn what_is_written_comes_back(subject: &SinkSubject) -> Check {
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Config) {
        let large = if kind == ObjectKind::Pack { (4 << 20) + 5 } else { 70_000 };
        for (seed, size) in (0..).zip([1, 32, 4096, 100_003, large]) {
            let (id, bytes) = subject.object(kind, seed, size);
            subject.sink.write(&id, bytes.clone()).await?;
            subject.holds(&format!("a {kind:?} of {size} bytes"), &id, &bytes).await?;
        }
    }
    Ok(())
}

/// law: writing-again-is-success. The same object twice is there once.
pub(super) async fn writing_again_is_success(subject: &SinkSubject) -> Check {
    for kind in ObjectKind::ALL.into_iter().filter(|kind| kind.is_content_named()) {
        let (id, bytes) = subject.object(kind, 1, 5000);
        for _ in 0..3 {
            subject.sink.write(&id, bytes.clone()).await?;
            subject.holds("an object written again", &id, &bytes).await?;
        }
        let times = subject.listed(kind).await?.iter().filter(|(listed, _)| *listed == id).count();
        ensure!(times == 1, "a {kind:?} written three times is listed {times} times");
    }
    Ok(())
}

/// law: a-torn-object-is-repaired. When an object that is there has another length, the write replaces it.
pub(super) async fn a_torn_object_is_repaired(subject: &SinkSubject) -> Check {
    let (id, bytes) = subject.object(ObjectKind::Pack, 1, 50_000);
    for torn in [bytes.slice(..20_000), bytes.slice(..0)] {
        // A sink that verifies names refuses the torn object, and so cannot have one.
        let refused = subject.sink.write(&id, torn).await;
        applies!(refused.is_ok(), "the sink refuses an object that is not what its name says");
        subject.sink.write(&id, bytes.clone()).await?;
        subject.holds("an object written over a torn one", &id, &bytes).await?;
        applies!(subject.removes(ObjectKind::Pack), "the sink is append-only");
        subject.sink.remove(std::slice::from_ref(&id)).await?;
    }
    Ok(())
}

/// law: the-config-is-created-once. The configuration is not there before, comes back, is accepted again with the
/// same bytes and refused with `AlreadyExists` with others.
pub(super) async fn the_config_is_created_once(subject: &SinkSubject) -> Check {
    let (id, bytes) = subject.object(ObjectKind::Config, 1, 155);
    let there = subject.sink.read(&id, None).await.is_ok();
    applies!(!there, "the sink has a configuration already");
    subject.absent("the configuration before it is written", &id).await?;
    subject.sink.write(&id, bytes.clone()).await?;
    subject.holds("the configuration", &id, &bytes).await?;
    subject.sink.write(&id, bytes.clone()).await?;
    for other in [pattern(2, 155), pattern(3, 20), Bytes::new()] {
        let write = subject.sink.write(&id, other).await;
        fails("another configuration", write, &[ErrorKind::AlreadyExists])?;
        subject.holds("the configuration after another one", &id, &bytes).await?;
    }
    let listed = subject.listed(ObjectKind::Config).await?;
    ensure!(listed == [(id, 155)], "the configuration is listed as {listed:?}");
    Ok(())
}

/// law: the-config-has-one-winner. Of different configurations written at the same time one is accepted.
pub(super) async fn the_config_has_one_winner(subject: &SinkSubject) -> Check {
    applies!(subject.removes(ObjectKind::Config), "the sink is append-only");
    for round in 0..subject.rounds.div_ceil(4) {
        let (id, _) = subject.object(ObjectKind::Config, 1, 1);
        subject.sink.remove(std::slice::from_ref(&id)).await?;
        let start = Arc::new(Barrier::new(4));
        let mut tasks = JoinSet::new();
        for i in 0..4 {
            let (sink, id, start) = (Arc::clone(&subject.sink), id.clone(), Arc::clone(&start));
            let bytes = pattern((round * 4 + i) as u64, 155 + i);
            tasks.spawn(async move {
                start.wait().await;
                match sink.write(&id, bytes.clone()).await {
                    Ok(()) => Ok(Some(bytes)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
                    Err(error) => Err(Breach::from(error)),
                }
            });
        }
        let winners: Vec<Bytes> = join(tasks).await?.into_iter().flatten().collect();
        ensure!(winners.len() == 1, "{} of 4 concurrent configurations were accepted", winners.len());
        subject.holds("the configuration that won", &id, &winners[0]).await?;
    }
    Ok(())
}

/// law: a-sidecar-is-replaced. The later bytes are there, longer or shorter; names may have directories.
pub(super) async fn a_sidecar_is_replaced(subject: &SinkSubject) -> Check {
    for name in ["plain", "dir/sub/name.json", "a-b_c.d"] {
        let id = subject.sidecar(name);
        for size in [100, 5000, 0, 10] {
            let bytes = pattern(size as u64, size);
            subject.sink.write(&id, bytes.clone()).await?;
            subject.holds(&format!("the sidecar {name:?}"), &id, &bytes).await?;
        }
    }
    Ok(())
}

/// law: concurrent-writes-are-all-there. Many objects at the same time, and the same one by several writers.
pub(super) async fn concurrent_writes_are_all_there(subject: &SinkSubject) -> Check {
    let mut tasks = JoinSet::new();
    for worker in 0..6 {
        let subject = subject.clone();
        tasks.spawn(async move {
            for round in 0..subject.rounds as u64 {
                // Two workers each write the same objects.
                let seed = (worker / 2) * 1000 + round;
                let (id, bytes) =
                    subject.object(ObjectKind::Pack, seed, 3000 + usize::try_from(seed).unwrap_or(0));
                subject.sink.write(&id, bytes.clone()).await?;
                subject.holds("an object beside others", &id, &bytes).await?;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    let listed = subject.listed(ObjectKind::Pack).await?;
    for seed in (0..3).flat_map(|group| (0..subject.rounds as u64).map(move |round| group * 1000 + round)) {
        let size = 3000 + usize::try_from(seed).unwrap_or(0);
        let (id, _) = subject.object(ObjectKind::Pack, seed, size);
        let times = listed.iter().filter(|(listed, _)| *listed == id).count();
        ensure!(times == 1, "an object of concurrent writers is listed {times} times");
    }
    Ok(())
}

/// law: a-dropped-write-is-whole-or-nothing. After any number of polls the object is there whole or not at all,
/// and can be written.
pub(super) async fn a_dropped_write_is_whole_or_nothing(subject: &SinkSubject) -> Check {
    for n in 1..=subject.rounds {
        let (id, bytes) = subject.object(ObjectKind::Index, n as u64, 200_000);
        polls(subject.sink.write(&id, bytes.clone()), n).await.transpose()?;
        whole_or_absent(subject, &id, &bytes).await?;
        subject.sink.write(&id, bytes.clone()).await?;
        subject.holds("an object after a dropped write", &id, &bytes).await?;
    }
    Ok(())
}

async fn whole_or_absent(subject: &SinkSubject, id: &ObjectId, bytes: &Bytes) -> Check {
    match subject.sink.read(id, None).await {
        Ok(read) if read == *bytes => Ok(()),
        Ok(read) => {
            Err(Breach::Failed(format!("a dropped write left {} of {} bytes", read.len(), bytes.len())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}
