//! A primary and two streaming replicas on the loopback interface: a replica that lags, a promotion, and a service
//! whose users see their own writes all the while.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program talks to its user, and measures real time"
)]

use aetherius::db::{
    Consistency, Isolation, PostgresDatabase, PostgresOptions, ServerStatus, Standing, Token, TransactOptions,
};
use aetherius::{Error, Result, SqlxResultExt, sqlx};
use clap::Parser;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use testkit::Postgres;

/// Starts a private PostgreSQL with two streaming replicas, writes and reads as a web service would (each answer
/// carries a position token, each read shows at least that), lets one replica lag, kills the primary, promotes the
/// other replica, brings the old primary back, and shows who answered. It needs PostgreSQL's programs on this machine
/// and leaves nothing behind. Exit codes: 0 success, 1 failure, 2 wrong usage.
#[derive(Parser)]
#[command(name = "db_replicas", version)]
struct Args {
    /// Write-then-read pairs in each act.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pairs: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run(&args))) {
        Ok(()) => {
            println!("db_replicas: OK");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    println!("starting a primary and two replicas");
    let mut primary = Postgres::start();
    let (near, far) =
        (Postgres::builder().start_standby(&primary), Postgres::builder().start_standby(&primary));
    let names: BTreeMap<u16, &str> =
        [(primary.port(), "primary"), (near.port(), "near"), (far.port(), "far")].into();
    let hosts: Vec<String> = names.keys().map(|port| format!("127.0.0.1:{port}")).collect();
    let url = format!("postgres://postgres@{}/postgres?target_session_attrs=any", hosts.join(","));
    let options = PostgresOptions::new(url)
        .probe_interval(Duration::from_millis(50))
        .failover_timeout(Duration::from_secs(60));
    let db = PostgresDatabase::open(options).await?;
    let make = "CREATE TABLE notes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)";
    sqlx::raw_sql(make).execute(&mut db.write().await?).await.storage()?;

    Box::pin(act("all is well", &db, args.pairs, &names)).await?;
    far.psql("postgres", "SELECT pg_wal_replay_pause()");
    Box::pin(act("far has stopped replaying", &db, args.pairs, &names)).await?;
    far.psql("postgres", "SELECT pg_wal_replay_resume()");

    let killed = Instant::now();
    primary.kill();
    let writing = tokio::spawn({
        let db = db.clone();
        async move { write(&db, "while there was no primary").await }
    });
    near.promote();
    far.follow(&near);
    let token = writing.await.map_err(|error| Error::other("a task died").with_source(error))??;
    println!("\nthe primary was killed and near promoted: the next write took {:.0?}", killed.elapsed());
    println!("its token is {token}");
    Box::pin(act("near is the primary, far follows it", &db, args.pairs, &names)).await?;

    primary.restart();
    while !db.servers().iter().any(|server| server.standing == Standing::Stale) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Box::pin(act("the old primary is back and is not used", &db, args.pairs, &names)).await
}

/// A user writes a note; the token goes into his cookie.
async fn write(db: &PostgresDatabase, text: &str) -> Result<Token> {
    let written = db.transact_with_token(Isolation::ReadCommitted, TransactOptions::default(), |tx| {
        let text = text.to_owned();
        Box::pin(async move {
            sqlx::query("INSERT INTO notes (text) VALUES ($1)").bind(text).execute(&mut *tx).await?;
            Ok(())
        })
    });
    Ok(written.await?.1)
}

/// Pairs of a write and a read with its token, and what came of them.
async fn act(title: &str, db: &PostgresDatabase, pairs: u32, names: &BTreeMap<u16, &str>) -> Result<()> {
    let mut answered: BTreeMap<String, u32> = BTreeMap::new();
    for pair in 0..pairs {
        let text = format!("{title}, {pair}");
        // What a web service would set and be sent again as a cookie.
        let cookie = write(db, &text).await?.to_string();
        let mut reader = db.read(Consistency::AtLeast(cookie.parse()?)).await?;
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM notes WHERE text = $1")
            .bind(&text)
            .fetch_one(&mut reader)
            .await
            .storage()?;
        if seen != 1 {
            return Err(Error::other(format!(
                "{} did not show what its reader had written",
                reader.server()
            )));
        }
        *answered.entry(name(reader.server(), names)).or_default() += 1;
    }
    println!("\n{title}: {pairs} writes, each read back");
    for server in db.servers() {
        let reads = answered.get(&name(&server.address, names)).copied().unwrap_or(0);
        println!(
            "  {:8} {:9} {:>6} reads  {}",
            name(&server.address, names),
            standing(&server),
            reads,
            lag(&server)
        );
    }
    Ok(())
}

fn name(address: &str, names: &BTreeMap<u16, &str>) -> String {
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
    port.and_then(|port: u16| names.get(&port)).map_or_else(|| address.to_owned(), ToString::to_string)
}

fn standing(server: &ServerStatus) -> String {
    format!("{:?}", server.standing).to_lowercase()
}

fn lag(server: &ServerStatus) -> String {
    match (server.standing, server.staleness) {
        (Standing::Standby, Some(age)) => format!("at most {age:.1?} old"),
        (Standing::Standby, None) => "older than is remembered".into(),
        _ => String::new(),
    }
}
