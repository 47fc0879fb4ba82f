//! Private servers on free loopback ports.

mod certificate;
mod emulator;
mod moto;
mod pgbouncer;
mod postgres;
mod redis;
mod supervisor;
mod template;

use std::net::{Ipv4Addr, TcpListener};

pub use emulator::Emulator;
pub use moto::Moto;
pub use pgbouncer::{PgBouncer, PgBouncerBuilder};
pub use postgres::{Postgres, PostgresBuilder};
pub use redis::{Redis, RedisBuilder};

/// A loopback port that was free at this moment. Another program can take it before the caller does; the
/// servers here start again on another port then.
#[must_use]
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("the loopback interface gives a free port")
        .port()
}
