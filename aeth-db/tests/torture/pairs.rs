//! Clusters that lag, restart and are promoted while clients work.

use aeth_core::ErrorKind;
use aeth_db::{Consistency, Isolation, PostgresDatabase, PostgresOptions, Token, TransactOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use testkit::Postgres;

pub(crate) fn options(servers: &[&Postgres]) -> PostgresOptions {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    PostgresOptions::new(format!("postgres://postgres@{}/postgres", hosts.join(",")))
        .probe_interval(Duration::from_millis(30))
        .replica_wait(Duration::from_millis(30))
        .failover_timeout(Duration::from_secs(60))
        .max_connections(20)
}

/// Adds one to the task's counter; gives what it is then, and the token.
async fn add(db: &PostgresDatabase, task: i32) -> Option<(i64, Token)> {
    let written = db.transact_with_token(Isolation::ReadCommitted, TransactOptions::default(), move |tx| {
        Box::pin(async move {
            let sql = "UPDATE counters SET n = n + 1 WHERE id = $1 RETURNING n";
            Ok(sqlx::query_scalar::<_, i64>(sql).bind(task).fetch_one(&mut *tx).await?)
        })
    });
    written.await.ok()
}

async fn count(db: &PostgresDatabase, task: i32, fresh: Consistency) -> aeth_core::Result<(i64, bool)> {
    let mut conn = db.read(fresh).await?;
    let sql = "SELECT n FROM counters WHERE id = $1";
    let n = sqlx::query_scalar(sql).bind(task).fetch_one(&mut conn).await.map_err(aeth_db::from_sqlx)?;
    Ok((n, conn.is_standby()))
}

/// Ends the others' work when it is dropped, by a panic too.
pub(crate) struct Done(pub(crate) Arc<AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[derive(Default)]
struct Tally {
    pairs: AtomicU64,
    on_standbys: AtomicU64,
    lost: AtomicU64,
    unanswered: AtomicU64,
}

/// Write, then read with the token of it, again and again.
async fn pairs(db: PostgresDatabase, task: i32, until: Arc<AtomicBool>, tally: Arc<Tally>) {
    while !until.load(Relaxed) {
        let Some((written, token)) = add(&db, task).await else { continue };
        match count(&db, task, Consistency::AtLeast(token)).await {
            Ok((read, standby)) => {
                assert!(read >= written, "task {task} wrote {written} and read {read} with {token}");
                tally.pairs.fetch_add(1, Relaxed);
                tally.on_standbys.fetch_add(u64::from(standby), Relaxed);
            }
            // It is not there any more, and that is what is said.
            Err(error) if error.kind() == ErrorKind::Precondition => {
                tally.lost.fetch_add(1, Relaxed);
            }
            Err(_) => {
                tally.unanswered.fetch_add(1, Relaxed);
            }
        }
    }
}

/// What befalls a cluster of three, until enough pairs were made.
fn befall(
    rng: &mut fastrand::Rng,
    tally: &Tally,
    wanted: u64,
    (mut primary, mut a, b): (Postgres, Postgres, Postgres),
) -> [Postgres; 3] {
    let pause = |rng: &mut fastrand::Rng| std::thread::sleep(Duration::from_millis(rng.u64(10..150)));
    let mut others = [0; 2];
    while tally.pairs.load(Relaxed) < wanted / 2 {
        match rng.u32(..4) {
            0 => {
                a.psql("postgres", "SELECT pg_wal_replay_pause()");
                pause(rng);
                a.psql("postgres", "SELECT pg_wal_replay_resume()");
            }
            1 => {
                b.psql("postgres", "SELECT pg_wal_replay_pause()");
                pause(rng);
                b.psql("postgres", "SELECT pg_wal_replay_resume()");
            }
            2 if others[0] < 2 => {
                others[0] += 1;
                a.kill();
                pause(rng);
                a.restart();
            }
            3 if others[1] < 1 => {
                others[1] += 1;
                primary.kill();
                pause(rng);
                primary.restart();
            }
            _ => pause(rng),
        }
    }
    // The one that is further behind may be promoted: what it lacks is lost, and must be said to be.
    primary.kill();
    let (new, follower) = if rng.bool() { (&a, &b) } else { (&b, &a) };
    new.promote();
    // A standby that has replayed more than the new primary's timeline shares can never follow: it stays behind.
    follower.follow(new);
    while tally.pairs.load(Relaxed) < wanted * 3 / 4 {
        pause(rng);
    }
    primary.restart();
    while tally.pairs.load(Relaxed) < wanted {
        pause(rng);
    }
    [primary, a, b]
}

/// Read-your-writes over two standbys that lag, restart, and are promoted. 10^5 pairs with
/// `AETH_TORTURE_COUNT=100`.
#[tokio::test(flavor = "multi_thread")]
async fn torture_read_your_writes() {
    const PAIRS: u64 = 1_000;
    for case in testkit::campaign("read-your-writes", 1) {
        let mut rng = case.rng();
        let primary = Postgres::start();
        let delay = format!("{}ms", rng.u32(0..40));
        let lagging = Postgres::builder().setting("recovery_min_apply_delay", &delay);
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(|| Postgres::builder().start_standby(&primary));
            (lagging.start_standby(&primary), other.join().unwrap())
        });
        primary.psql(
            "postgres",
            "CREATE TABLE counters (id int PRIMARY KEY, n bigint);
             INSERT INTO counters SELECT i, 0 FROM generate_series(0, 7) i",
        );
        let db = PostgresDatabase::open(options(&[&primary, &a, &b])).await.unwrap();
        let (done, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..8 {
            tasks.spawn(pairs(db.clone(), task, done.clone(), tally.clone()));
        }
        let (end, seen) = (Done(done.clone()), tally.clone());
        let befallen = tokio::task::spawn_blocking(move || {
            let servers = befall(&mut rng, &seen, PAIRS, (primary, a, b));
            drop(end);
            servers
        });
        // A stale read must not be waited out.
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                done.store(true, Relaxed);
            }
            ended.unwrap();
        }
        drop(befallen.await.unwrap());
        println!(
            "seed {}: {} pairs, {} read on standbys, {} lost and told, {} unanswered",
            case.seed(),
            tally.pairs.load(Relaxed),
            tally.on_standbys.load(Relaxed),
            tally.lost.load(Relaxed),
            tally.unanswered.load(Relaxed)
        );
    }
}
