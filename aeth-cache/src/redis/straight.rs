//! The way of most look-ups: plain ones, of one namespace of which the server has told nothing new. They take one round
//! trip and no second look, and do without what the general way of [`lookup`](super::lookup) prepares for those that
//! may.

use super::error;
use super::heard::Count;
use super::link::check;
use super::lookup::{Form, Found, Lookups, Wanted};
use super::state::Sight;
use aeth_core::{ClockExt, Namespace, Result};
use redis::Value;
use std::time::Duration;

impl Lookups {
    /// One answer for each, in order; `None` where it may take more than one command.
    pub(super) async fn straight(&self, wanted: &[Wanted<'_>], form: Form) -> Option<Result<Vec<Found>>> {
        let namespace = self.of_one(wanted)?;
        let generation = match self.link.ready().await {
            Ok(generation) => generation,
            Err(error) => return Some(Err(error)),
        };
        // Before anything is sent, as on the general way.
        let before = (self.link.heard.count(), self.link.clock.monotonic());
        if !self.states.is_quiet_over(generation, namespace, before) {
            return None;
        }
        Some(self.ask_values(namespace, wanted, form, before).await)
    }

    /// The namespace of look-ups that one command can answer.
    fn of_one<'a>(&self, wanted: &[Wanted<'a>]) -> Option<&'a Namespace> {
        let Wanted { namespace, .. } = wanted.first()?;
        let fits =
            wanted.len() == 1 || wanted.len() <= self.link.options.batch && !self.link.dialer.is_cluster();
        let plain = |wanted: &Wanted<'_>| wanted.lease.is_none() && wanted.namespace == *namespace;
        (fits && wanted.iter().all(plain)).then_some(namespace)
    }

    async fn ask_values(
        &self,
        namespace: &Namespace,
        wanted: &[Wanted<'_>],
        form: Form,
        (_, asked): (Count, Duration),
    ) -> Result<Vec<Found>> {
        let answers = self.answers(wanted, form).await?;
        // Where nothing was told up to the answer, nothing had changed when the values were read.
        let now = (self.link.heard.count(), asked);
        {
            let view = self.states.view();
            let sight = view.of(namespace);
            if sight.is_quiet(now) {
                return Ok(self.read(sight, answers));
            }
        }
        Box::pin(self.states.sync(&self.link, &self.names, &[namespace])).await?;
        let view = self.states.view();
        Ok(self.read(view.of(namespace), answers))
    }

    /// What the server has for each.
    async fn answers(&self, wanted: &[Wanted<'_>], form: Form) -> Result<Vec<Value>> {
        let answers = match form {
            Form::Apart if wanted.len() > 1 => {
                let each = wanted.iter().map(|wanted| self.values(std::iter::once(wanted)).into());
                self.link.send(each.collect()).await?
            }
            _ => match self.link.ask(self.values(wanted.iter())).await? {
                Value::Array(answers) => answers,
                answer => vec![answer],
            },
        };
        if answers.len() == wanted.len() { Ok(answers) } else { Err(error::unexpected("look up")) }
    }

    /// What the answers to GET or MGET say.
    fn read(&self, sight: Sight<'_>, answers: Vec<Value>) -> Vec<Found> {
        let now = self.link.clock.unix_millis();
        let found = |answer| match check(answer) {
            Ok(Value::BulkString(value)) => {
                self.readable(sight, now, value.into()).map_or(Found::Miss, Found::Hit)
            }
            Ok(Value::Nil) => Found::Miss,
            Ok(_) => Found::Unavailable(error::unexpected("look up")),
            Err(refusal) => Found::Unavailable(refusal),
        };
        answers.into_iter().map(found).collect()
    }
}
