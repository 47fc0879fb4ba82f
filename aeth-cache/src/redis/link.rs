//! One connection for commands that comes back by itself.
//!
//! A call waits for a connection that is being made, within its own time limit. After a failed attempt calls
//! fail at once with that attempt's error until the back-off is over, so that a server that is down costs its
//! callers nothing; the next call then dials. An answer that says that the connection is lost, and answers
//! that stay out several times in a row, end the connection.

use super::dial::{Dialer, Wire};
use super::error::{self, COMPONENT, convert};
use super::heard::Heard;
use super::options::RedisOptions;
use super::script::Run;
use aeth_core::{Clock, ClockExt, Error, ErrorKind, Result, Tasks};
use parking_lot::Mutex;
use redis::{Cmd, RedisError, ServerErrorKind, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// Answers that may stay out in a row before the connection is given up.
const SILENCE: u32 = 3;
/// The first and the last pause after a failed attempt to connect.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// A command, or a run of a script.
pub(super) enum Request {
    Plain(Cmd),
    Script(Run),
}

impl From<Cmd> for Request {
    fn from(command: Cmd) -> Self {
        Self::Plain(command)
    }
}

impl From<Run> for Request {
    fn from(run: Run) -> Self {
        Self::Script(run)
    }
}

enum State {
    Idle,
    Dialling,
    Up(Wire),
    Down { error: Error, until: Duration },
    Closed,
}

pub(super) struct Link {
    pub(super) dialer: Dialer,
    pub(super) options: RedisOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
    pub(super) heard: Arc<Heard>,
    state: Mutex<State>,
    changed: Notify,
    generation: AtomicU64,
    failures: AtomicU32,
    silence: AtomicU32,
}

impl Link {
    pub(super) fn new(options: RedisOptions, clock: Arc<dyn Clock>) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            dialer: Dialer::new(&options)?,
            options,
            clock,
            tasks: Tasks::new(),
            heard: Arc::default(),
            state: Mutex::new(State::Idle),
            changed: Notify::new(),
            generation: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            silence: AtomicU32::new(0),
        }))
    }

    /// Which connection it is, from 1 on, waiting for the first; what was learnt over another may be out of
    /// date.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<u64> {
        if self.generation() == 0 {
            let first = self.clock.timeout(self.options.command_timeout, self.wire()).await;
            first.map_err(|_| self.silent())??;
        }
        Ok(self.generation())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    pub(super) fn close(&self) {
        *self.state.lock() = State::Closed;
        self.changed.notify_waiters();
    }

    /// Sends requests and waits for all answers; [`check`] tells refusals from answers.
    pub(super) async fn send(self: &Arc<Self>, requests: Vec<Request>) -> Result<Vec<Value>> {
        self.in_time(|wire, generation| self.exchange(wire, generation, requests)).await
    }

    /// Makes an exchange over the connection, dialling where there is none, within the time limit.
    async fn in_time<T: Send, F: Future<Output = Result<T>> + Send>(
        self: &Arc<Self>,
        exchange: impl FnOnce(Wire, u64) -> F + Send,
    ) -> Result<T> {
        let limit = self.options.command_timeout;
        let mut wire = None;
        // In a box: as a part of them, all the futures around it would be moved with it.
        let exchange = Box::pin(async {
            let (connection, generation) = self.wire().await?;
            wire = Some(generation);
            exchange(connection, generation).await
        });
        let answered = self.clock.timeout(limit, exchange);
        match answered.await {
            Ok(answers) => answers,
            Err(_) => {
                if let Some(generation) = wire
                    && self.silence.fetch_add(1, Relaxed) + 1 >= SILENCE
                {
                    self.lost(generation);
                }
                Err(self.silent())
            }
        }
    }

    fn silent(&self) -> Error {
        Error::timeout(format!("the server did not answer within {:?}", self.options.command_timeout))
            .with_component(COMPONENT)
            .with_remedy("see whether the server hangs (`SLOWLOG GET`), or allow it more time")
    }

    /// Sends one request; a refusal is an error.
    pub(super) async fn ask(self: &Arc<Self>, request: impl Into<Request>) -> Result<Value> {
        let answer = match request.into() {
            Request::Plain(command) => {
                self.in_time(|wire, generation| self.exchange_one(wire, generation, command)).await?
            }
            script @ Request::Script(_) => {
                let answers = self.send(vec![script]).await?;
                answers.into_iter().next().ok_or_else(|| error::unexpected("ask"))?
            }
        };
        check(answer)
    }

    async fn exchange_one(&self, mut wire: Wire, generation: u64, command: Cmd) -> Result<Value> {
        let answer = wire.send_one(&command).await.map_err(|failure| self.failed(generation, &failure))?;
        self.answered(generation, std::slice::from_ref(&answer));
        Ok(answer)
    }

    async fn exchange(&self, mut wire: Wire, generation: u64, requests: Vec<Request>) -> Result<Vec<Value>> {
        let mut commands = Vec::with_capacity(requests.len());
        // Scripts may have to be sent again.
        let mut runs: Vec<(usize, Run)> = Vec::new();
        for request in requests {
            match request {
                Request::Plain(command) => commands.push(command),
                Request::Script(run) => {
                    let command = run.command(false);
                    runs.push((commands.len(), run));
                    commands.push(command);
                }
            }
        }
        let sent = commands.len();
        let mut answers = self.over(&mut wire, generation, commands).await?;
        if answers.len() != sent {
            self.lost(generation);
            return Err(error::unexpected("send"));
        }
        runs.retain(|(at, _)| is_unknown_script(&answers[*at]));
        if !runs.is_empty() {
            let again = runs.iter().map(|(_, run)| run.command(true));
            let full = Box::pin(self.over(&mut wire, generation, again.collect())).await?;
            for ((at, _), answer) in runs.into_iter().zip(full) {
                answers[at] = answer;
            }
        }
        self.answered(generation, &answers);
        Ok(answers)
    }

    /// The server lives; whether it is still the one that is wanted, its answers may tell.
    fn answered(&self, generation: u64, answers: &[Value]) {
        self.silence.store(0, Relaxed);
        if answers.iter().any(|answer| self.ends_connection(answer)) {
            self.lost(generation);
        }
    }

    async fn over(&self, wire: &mut Wire, generation: u64, commands: Vec<Cmd>) -> Result<Vec<Value>> {
        wire.send(commands).await.map_err(|failure| self.failed(generation, &failure))
    }

    fn failed(&self, generation: u64, failure: &RedisError) -> Error {
        if failure.is_unrecoverable_error() || failure.is_io_error() {
            self.lost(generation);
        }
        convert(failure)
    }

    /// After a failover the old primary answers as a replica.
    fn ends_connection(&self, answer: &Value) -> bool {
        let Value::ServerError(refusal) = answer else { return false };
        self.dialer.follows_failover()
            && matches!(refusal.kind(), Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
    }

    /// The connection, dialling where there is none.
    async fn wire(self: &Arc<Self>) -> Result<(Wire, u64)> {
        if let State::Up(wire) = &*self.state.lock() {
            return Ok((wire.clone(), self.generation()));
        }
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                match &*state {
                    State::Up(wire) => return Ok((wire.clone(), self.generation())),
                    State::Closed => return Err(error::closed()),
                    State::Down { error, until } if self.clock.monotonic() < *until => {
                        return Err(error.clone());
                    }
                    State::Dialling => {}
                    State::Down { .. } | State::Idle => {
                        *state = State::Dialling;
                        let attempt = Attempt(Arc::clone(self));
                        // On its own, because a connect may take longer than the caller waits.
                        drop(self.tasks.spawn_until_closed(async move { attempt.0.dial().await }));
                    }
                }
            }
            changed.await;
        }
    }

    async fn dial(&self) {
        let dialling = Box::pin(self.dialer.wire(&self.heard, self.options.track));
        let dialled = self.clock.timeout(self.options.connect_timeout, dialling).await;
        let dialled = dialled.unwrap_or_else(|_| {
            Err(Error::timeout(format!("no connection within {:?}", self.options.connect_timeout))
                .with_component(COMPONENT)
                .with_remedy("check the address, or allow it more time"))
        });
        let mut state = self.state.lock();
        if matches!(*state, State::Closed) {
            return;
        }
        *state = match dialled {
            Ok((wire, tracks)) => {
                self.heard.over_another(tracks);
                self.failures.store(0, Relaxed);
                self.silence.store(0, Relaxed);
                self.generation.fetch_add(1, Relaxed);
                State::Up(wire)
            }
            Err(error) => {
                let failures = self.failures.fetch_add(1, Relaxed).min(10);
                let pause = (BACKOFF.0 * 2_u32.pow(failures)).min(BACKOFF.1);
                let pause = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
                State::Down { error, until: self.clock.monotonic() + pause }
            }
        };
        drop(state);
        self.changed.notify_waiters();
    }

    fn lost(&self, generation: u64) {
        let mut state = self.state.lock();
        if matches!(*state, State::Up(_)) && self.generation() == generation {
            *state = State::Idle;
        }
    }
}

/// An attempt to connect. The runtime that it runs on may end before it does; then the next caller makes another.
struct Attempt(Arc<Link>);

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if matches!(*state, State::Dialling) {
            *state = State::Idle;
            drop(state);
            self.0.changed.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &*self.state.lock() {
            State::Idle => "idle",
            State::Dialling => "connecting",
            State::Up(_) => "connected",
            State::Down { .. } => "down",
            State::Closed => "closed",
        };
        f.debug_struct("Link").field("topology", &self.options.topology).field("state", &state).finish()
    }
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(refusal) if refusal.kind() == Some(ServerErrorKind::NoScript))
}

/// An answer, or the server's refusal as an error.
pub(super) fn check(answer: Value) -> Result<Value> {
    match answer {
        Value::ServerError(refusal) => Err(convert(&refusal.into())),
        answer => Ok(answer),
    }
}

/// True for an error after which the same thing may be wanted over a new connection.
pub(super) fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// A whole number.
pub(super) fn number(answer: &Value) -> Option<u64> {
    match answer {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}
