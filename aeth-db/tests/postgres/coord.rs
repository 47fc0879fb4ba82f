//! Locks, notifications, the backplane: the laws, and what a lost session does.

use crate::support::{execute, fresh, psql, with};
use aeth_core::conformance::backplane::BackplaneSubject;
use aeth_core::conformance::leader_lock::LeaderSubject;
use aeth_core::coord::LeaderLock;
use aeth_core::{ErrorKind, Lifecycle, SystemClock};
use aeth_db::{ListenEvent, PostgresDatabase, PostgresOptions};
use futures_util::StreamExt;
use std::time::Duration;
use testkit::Postgres;

async fn again(name: &str) -> PostgresDatabase {
    PostgresDatabase::open(PostgresOptions::new(Postgres::shared().url(name))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_lock_keeps_the_laws() {
    let (one, name) = fresh().await;
    let two = again(&name).await;
    let subject = LeaderSubject::new(one.leader_lock(), SystemClock::shared()).with_other(two.leader_lock());
    let report = subject.run().await;
    println!("{report}");
    report.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_with_its_session_and_the_number_grows() {
    let (one, name) = fresh().await;
    let two = again(&name).await;
    let first = one.lock("job", Duration::ZERO).await.unwrap();
    assert_eq!(two.lock("job", Duration::from_millis(30)).await.unwrap_err().kind(), ErrorKind::Busy);
    let holder = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    psql(&name, holder);
    let second = two.lock("job", Duration::from_secs(30)).await.unwrap();
    assert!(second.fencing() > first.fencing());
    assert_eq!(first.renew().await.unwrap_err().kind(), ErrorKind::Precondition);
    first.release().await.unwrap();
    assert!(one.leader_lock().try_acquire("job", Duration::ZERO).await.unwrap().is_none());
    second.renew().await.unwrap();
    second.release().await.unwrap();
    one.lock("job", Duration::ZERO).await.unwrap().release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backplane_keeps_the_laws() {
    let (one, name) = fresh().await;
    let two = again(&name).await;
    let subject = BackplaneSubject::new(one.backplane()).with_other(two.backplane()).with_outage(move || {
        let name = name.clone();
        async move {
            let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                            WHERE datname = current_database() AND pid <> pg_backend_pid()";
            tokio::task::spawn_blocking(move || psql(&name, kill)).await.unwrap();
        }
    });
    let report = subject.run().await;
    println!("{report}");
    report.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_of_others_are_heard_and_wrong_ones_refused() {
    let (db, name) = fresh().await;
    let mut events = db.listen("Some Channel").await.unwrap();
    assert_eq!(events.next().await, Some(ListenEvent::Connected));
    psql(&name, "NOTIFY \"Some Channel\", 'a'");
    db.notify("Some Channel", "b").await.unwrap();
    for text in ["a", "b"] {
        let Some(ListenEvent::Notification { payload, channel }) = events.next().await else {
            panic!("none")
        };
        assert_eq!((&*channel, &*payload), ("Some Channel", text));
    }
    for (channel, payload) in [("", "a"), ("c", &"x".repeat(8000)), (&"c".repeat(64), "a")] {
        assert_eq!(db.notify(channel, payload).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(db.listen("").await.is_err());
    db.close(Duration::from_secs(30)).await.unwrap();
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_too_slowly_is_told_that_he_missed_something() {
    let (db, _) = with(|options| options).await;
    let mut slow = db.listen("c").await.unwrap();
    assert_eq!(slow.next().await, Some(ListenEvent::Connected));
    let mut quick = db.listen("d").await.unwrap();
    assert_eq!(quick.next().await, Some(ListenEvent::Connected));
    execute(&db, "SELECT count(pg_notify('c', i::text)) FROM generate_series(1, 6000) i").await;
    db.notify("d", "all sent").await.unwrap();
    // They come in order: nobody has read the others, and what had no room is lost.
    assert!(matches!(quick.next().await, Some(ListenEvent::Notification { .. })));
    assert!(matches!(slow.next().await, Some(ListenEvent::Notification { .. })));
    // Told as soon as there is room and something to tell.
    db.notify("c", "one more").await.unwrap();
    let mut heard = 1;
    loop {
        match slow.next().await.unwrap() {
            ListenEvent::Notification { .. } => heard += 1,
            ListenEvent::Gap => break,
            event => panic!("{event:?}"),
        }
    }
    assert!(heard < 6000, "{heard}");
}
