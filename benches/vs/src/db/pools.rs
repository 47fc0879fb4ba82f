//! Point selects: what a pool costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aeth_db::PostgresDatabase;
use aeth_db::sqlx::{self, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio::sync::Mutex;
use tokio_postgres::NoTls;

use super::{ROWS, TASKS};
use crate::BoxError;
use crate::measure::median;
use crate::row::Row;

const ROUNDS: usize = 9;
const TURN: Duration = Duration::from_secs(1);
const SELECT: &str = "SELECT balance FROM accounts WHERE id = $1";

/// URL, directory of the socket, port.
type Place<'a> = (&'a str, &'a str, u16);

pub(super) async fn run(
    db: &PostgresDatabase,
    place: Place<'_>,
    report: &mut dyn FnMut(Row),
) -> Result<(), BoxError> {
    together(db, place, report).await?;
    alone(db, place.0, report).await
}

/// The sixteen of each contestant take turns.
async fn together(
    db: &PostgresDatabase,
    (url, socket, port): Place<'_>,
    report: &mut dyn FnMut(Row),
) -> Result<(), BoxError> {
    let (defaults, tuned) = (pool(url, true).await?, pool(url, false).await?);
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).port(port).user("postgres").dbname("postgres");
    let recycling_method = RecyclingMethod::Fast;
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
    let deadpool = Pool::builder(manager).max_size(TASKS).build()?;
    let mut bare = Vec::new();
    for _ in 0..TASKS {
        bare.push(Mutex::new(PgConnection::connect(url).await?));
    }
    let bare = Arc::new(bare);
    let mut rates = [const { Vec::new() }; 5];
    for _ in 0..ROUNDS {
        let db = db.clone();
        rates[0].push(rate(move |_, id| ours(db.clone(), id)).await?);
        for (rates, pool) in rates[1..].iter_mut().zip([&defaults, &tuned]) {
            let pool = pool.clone();
            rates.push(rate(move |_, id| sqlx_pool(pool.clone(), id)).await?);
        }
        let deadpool = deadpool.clone();
        rates[3].push(rate(move |_, id| other_driver(deadpool.clone(), id)).await?);
        let bare = Arc::clone(&bare);
        rates[4].push(rate(move |task, id| without_pool(Arc::clone(&bare), task, id)).await?);
    }
    let [ours, defaults, tuned, deadpool, bare] = rates.map(median);
    let what = "prepared point select, 16 tasks on 16 connections";
    for (name, rate, target) in [
        ("sqlx PgPool, defaults", defaults, 2.3),
        ("sqlx PgPool, no ping before", tuned, 1.5),
        ("deadpool-postgres", deadpool, 1.0),
        ("16 bare sqlx connections, no pool", bare, 0.85),
    ] {
        report(Row::against(what, "queries/s", ours, (name, rate)).at_least(target));
    }
    Ok(())
}

async fn pool(url: &str, ping: bool) -> Result<PgPool, BoxError> {
    let options = PgPoolOptions::new().max_connections(TASKS as u32).test_before_acquire(ping);
    Ok(options.connect(url).await?)
}

async fn ours(db: PostgresDatabase, id: i32) -> Result<i32, BoxError> {
    let mut conn = db.write().await?;
    Ok(sqlx::query_scalar(SELECT).bind(id).fetch_one(&mut conn).await?)
}

async fn sqlx_pool(pool: PgPool, id: i32) -> Result<i32, BoxError> {
    Ok(sqlx::query_scalar(SELECT).bind(id).fetch_one(&pool).await?)
}

async fn other_driver(pool: Pool, id: i32) -> Result<i32, BoxError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(SELECT).await?;
    Ok(client.query_one(&statement, &[&id]).await?.try_get(0)?)
}

async fn without_pool(bare: Arc<Vec<Mutex<PgConnection>>>, task: usize, id: i32) -> Result<i32, BoxError> {
    // Nobody else ever takes this one.
    let mut conn = bare[task].lock().await;
    Ok(sqlx::query_scalar(SELECT).bind(id).fetch_one(&mut *conn).await?)
}

/// Queries a second of all tasks together, in one turn.
async fn rate<F>(query: impl Fn(usize, i32) -> F + Clone + Send + 'static) -> Result<f64, BoxError>
where
    F: Future<Output = Result<i32, BoxError>> + Send,
{
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (query, mut rng) = (query.clone(), fastrand::Rng::with_seed(task as u64));
        tasks.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < TURN {
                let id = rng.i32(1..=ROWS);
                if query(task, id).await? != id {
                    return Err("a wrong row".into());
                }
                done += 1;
            }
            Ok::<_, BoxError>(done)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// One task: what a pool adds to a bare connection.
async fn alone(db: &PostgresDatabase, url: &str, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    const SELECTS: usize = 40_000;
    let mut bare = PgConnection::connect(url).await?;
    let (defaults, tuned) = (pool(url, true).await?, pool(url, false).await?);
    let mut times = [const { Vec::new() }; 4];
    let mut rng = fastrand::Rng::with_seed(7);
    for select in 0..SELECTS {
        let id = rng.i32(1..=ROWS);
        let who = select % times.len();
        let started = Instant::now();
        let balance: i32 = match who {
            0 => ours(db.clone(), id).await?,
            1 => sqlx::query_scalar(SELECT).bind(id).fetch_one(&mut bare).await?,
            2 => sqlx_pool(defaults.clone(), id).await?,
            _ => sqlx_pool(tuned.clone(), id).await?,
        };
        let took = started.elapsed().as_secs_f64() * 1e6;
        if balance != id {
            return Err("a wrong row".into());
        }
        // The first of each prepare.
        if select > SELECTS / 20 {
            times[who].push(took);
        }
    }
    let [ours, bare, defaults, tuned] = times.map(median);
    for (name, time, target) in [
        ("bare sqlx connection", bare, 1.3),
        ("sqlx PgPool, defaults", defaults, 0.45),
        ("sqlx PgPool, no ping before", tuned, 0.62),
    ] {
        report(Row::against("point select, one task, median", "µs", ours, (name, time)).at_most(target));
    }
    Ok(())
}
