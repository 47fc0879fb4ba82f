//! Results that are kept, beside the query that they came from.

use std::sync::Arc;
use std::time::Instant;

use aeth_db::{
    CacheFreshness, CachedQuery, PostgresCacheTier, PostgresDatabase, PostgresTierOptions, QueryCache,
    QueryCacheOptions, sqlx,
};

use crate::BoxError;
use crate::measure::median;
use crate::row::Row;

const SUM: &str = "SELECT sum(balance)::bigint FROM accounts WHERE id % 7 = $1";

pub(super) async fn run(db: &PostgresDatabase, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await?;
    let cache = QueryCache::open(db.clone(), Arc::new(tier), QueryCacheOptions::default()).await?;
    cache.watch("accounts", true).await?;
    let mut times = [const { Vec::new() }; 3];
    for round in 0..400_i32 {
        let value = round % 7;
        let started = Instant::now();
        let plain: i64 = sqlx::query_scalar(SUM).bind(value).fetch_one(&mut db.write().await?).await?;
        times[2].push(started.elapsed().as_secs_f64() * 1e6);
        for (times, fresh) in times.iter_mut().zip([CacheFreshness::Strict, CacheFreshness::Eventual]) {
            let started = Instant::now();
            let kept: Vec<(i64,)> = cache.fetch(CachedQuery::new(SUM).bind(value), fresh).await?;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            if kept != [(plain,)] {
                return Err("another result".into());
            }
        }
    }
    let [strict, eventual, plain] = times.map(median);
    for (what, time) in [("query cache, strict hit", strict), ("query cache, eventual hit", eventual)] {
        let row = Row::against(what, "µs", time, ("the query, over 100,000 rows", plain));
        report(row.at_most(0.1));
    }
    Ok(())
}
