//! A primary that dies, or is passed over, while sixteen tasks write.

use crate::pairs::{Done, options};
use crate::support::until;
use aeth_core::ErrorKind;
use aeth_db::{Consistency, Isolation, PostgresDatabase, Standing, Token, TransactOptions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use testkit::Postgres;
use tokio::task::JoinSet;

const TASKS: usize = 16;
const ROWS: &str = "SELECT count(*) FROM log";

/// What was acknowledged, with the tokens.
type Acknowledged = BTreeMap<i64, Token>;

/// Sixteen tasks that insert numbered rows until told to stop.
struct Writers {
    done: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    /// Attempts that each has ended, well or not.
    ended: Arc<[AtomicU64; TASKS]>,
    tasks: JoinSet<Acknowledged>,
}

impl Writers {
    fn start(db: &PostgresDatabase) -> Self {
        let mut this = Self {
            done: Arc::default(),
            acked: Arc::default(),
            ended: Arc::default(),
            tasks: JoinSet::new(),
        };
        for task in 0..TASKS {
            let (db, done) = (db.clone(), this.done.clone());
            let (acked, ended) = (this.acked.clone(), this.ended.clone());
            this.tasks.spawn(async move {
                let mut acknowledged = Acknowledged::new();
                for n in 0.. {
                    if done.load(Relaxed) {
                        break;
                    }
                    let id = task as i64 * 1_000_000 + n;
                    if let Ok(token) = insert(&db, id).await {
                        acknowledged.insert(id, token);
                        acked.fetch_add(1, Relaxed);
                    }
                    ended[task].fetch_add(1, Relaxed);
                }
                acknowledged
            });
        }
        this
    }

    /// Waits for so many more acknowledgements.
    async fn more(&self, by: u64) {
        let goal = self.acked.load(Relaxed) + by;
        until("writes are acknowledged", async || self.acked.load(Relaxed) >= goal).await;
    }

    /// Waits until whatever is under way now has ended, and another one with it.
    async fn turn(&self) {
        let goals = self.ended.each_ref().map(|ended| ended.load(Relaxed) + 2);
        until("every writer has had a turn", async || {
            self.ended.iter().zip(goals).all(|(ended, goal)| ended.load(Relaxed) >= goal)
        })
        .await;
    }

    async fn stop(mut self) -> Acknowledged {
        drop(Done(self.done.clone()));
        let mut all = Acknowledged::new();
        while let Some(ended) = self.tasks.join_next().await {
            all.extend(ended.unwrap());
        }
        all
    }
}

async fn insert(db: &PostgresDatabase, id: i64) -> aeth_core::Result<Token> {
    let written = db.transact_with_token(Isolation::ReadCommitted, TransactOptions::default(), move |tx| {
        Box::pin(async move {
            sqlx::query("INSERT INTO log VALUES ($1)").bind(id).execute(&mut *tx).await?;
            Ok(())
        })
    });
    Ok(written.await?.1)
}

/// Whether the row is there for who reads with its token; `None` when the token is refused as lost.
async fn seen(db: &PostgresDatabase, id: i64, token: Token) -> Option<bool> {
    let mut reader = match db.read(Consistency::AtLeast(token)).await {
        Ok(reader) => reader,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");
            return None;
        }
    };
    let there = "SELECT EXISTS (SELECT FROM log WHERE id = $1)";
    Some(sqlx::query_scalar(there).bind(id).fetch_one(&mut reader).await.unwrap())
}

/// A token of the first timeline that is far beyond its end.
fn beyond(token: Token) -> Token {
    let text = token.to_string();
    format!("{}-00000001-7fffffffffffffff", text.split('-').next().unwrap()).parse().unwrap()
}

/// A killed primary with a synchronous standby that is promoted.
#[tokio::test(flavor = "multi_thread")]
async fn torture_failover() {
    for case in testkit::campaign("failover", 1) {
        let mut rng = case.rng();
        let mut primary = Postgres::builder().start();
        let standby = Postgres::builder().setting("cluster_name", "sync").start_standby(&primary);
        primary.psql("postgres", "CREATE TABLE log (id bigint PRIMARY KEY)");
        primary.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'sync'");
        primary.psql("postgres", "SELECT pg_reload_conf()");
        until("the standby is synchronous", async || {
            primary.psql("postgres", "SELECT sync_state FROM pg_stat_replication") == "sync"
        })
        .await;
        let db = PostgresDatabase::open(options(&[&primary, &standby])).await.unwrap();
        let writers = Writers::start(&db);
        writers.more(200 + rng.u64(..300)).await;
        let killed = Instant::now();
        primary.kill();
        standby.promote();
        let promoted = killed.elapsed();
        writers.more(1).await;
        let recovered = killed.elapsed();
        writers.more(200).await;
        // The old primary is back, believes that it is one, and waits for nobody: it would take any write at once.
        let conf = primary.data_dir().join("postgresql.auto.conf");
        let settings = std::fs::read_to_string(&conf).unwrap();
        std::fs::write(&conf, settings.replace("synchronous_standby_names = 'sync'", "")).unwrap();
        primary.restart();
        assert_eq!(primary.psql("postgres", "SHOW synchronous_standby_names"), "");
        let before = primary.psql("postgres", ROWS);
        until("the old primary is seen", async || {
            db.servers().iter().any(|server| server.standing == Standing::Stale)
        })
        .await;
        writers.more(300).await;
        let acknowledged = writers.stop().await;
        assert_eq!(primary.psql("postgres", ROWS), before, "the old primary took a write");
        for (id, token) in &acknowledged {
            assert_eq!(seen(&db, *id, *token).await, Some(true), "the acknowledged write {id} is lost");
        }
        let first = *acknowledged.values().next().unwrap();
        assert_eq!(seen(&db, 0, beyond(first)).await, None, "a token from beyond the switch was taken");
        println!(
            "seed {}: {} writes acknowledged, none lost; promoted after {promoted:.1?}, the first write after \
             {recovered:.1?}",
            case.seed(),
            acknowledged.len()
        );
    }
}

/// A standby is promoted though the primary lives and goes on taking writes: it is left alone the moment that it is
/// known, and what it had acknowledged meanwhile is told to be lost to who has its token.
#[tokio::test(flavor = "multi_thread")]
async fn torture_split_brain() {
    for case in testkit::campaign("split-brain", 1) {
        let mut rng = case.rng();
        let primary = Postgres::start();
        let standby = Postgres::builder().start_standby(&primary);
        primary.psql("postgres", "CREATE TABLE log (id bigint PRIMARY KEY)");
        let db = PostgresDatabase::open(options(&[&primary, &standby])).await.unwrap();
        let writers = Writers::start(&db);
        writers.more(200 + rng.u64(..300)).await;
        standby.promote();
        until("the newer timeline is seen", async || {
            db.servers().iter().any(|server| server.standing == Standing::Stale)
        })
        .await;
        // What was under way when it was seen may still have been taken.
        writers.turn().await;
        let before = primary.psql("postgres", ROWS);
        writers.more(300).await;
        let acknowledged = writers.stop().await;
        assert_eq!(primary.psql("postgres", ROWS), before, "the old primary took a write");
        let kept = standby.psql("postgres", "SELECT id FROM log");
        let kept: BTreeSet<i64> = kept.lines().map(|id| id.parse().unwrap()).collect();
        let mut lost = 0;
        for (id, token) in &acknowledged {
            let there = kept.contains(id);
            let told = seen(&db, *id, *token).await;
            assert_eq!(told, there.then_some(true), "write {id} with {token}");
            lost += u64::from(!there);
        }
        println!("seed {}: {} writes acknowledged, {lost} lost and told", case.seed(), acknowledged.len());
    }
}
