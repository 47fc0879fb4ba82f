//! Coordination that goes wrong.

use super::FaultPlan;
use super::plan::Fault;
use crate::Result;
use crate::coord::{Backplane, BackplaneEvent, LeaderLock, Leadership, NodeId};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A [`Backplane`] over another one which goes wrong by a [`FaultPlan`].
///
/// Any fault of the operation `event` loses a message and tells of a gap in its place.
#[derive(Debug, Clone)]
pub struct FaultyBackplane {
    inner: Arc<dyn Backplane>,
    plan: FaultPlan,
}

impl FaultyBackplane {
    /// Wraps a backplane.
    #[must_use]
    pub fn new(inner: impl Backplane, plan: FaultPlan) -> Self {
        Self { inner: Arc::new(inner), plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backplane for FaultyBackplane {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn node(&self) -> NodeId {
        self.inner.node()
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<u64> {
        self.plan.around("publish", self.inner.publish(channel, payload)).await
    }

    async fn subscribe(&self, channel: &str) -> Result<BoxStream<'static, BackplaneEvent>> {
        let events = self.plan.around("subscribe", self.inner.subscribe(channel)).await?;
        let plan = self.plan.clone();
        let faulty = events.map(move |event| match event {
            BackplaneEvent::Message(_) if plan.next("event").is_some() => BackplaneEvent::Gap,
            event => event,
        });
        Ok(faulty.boxed())
    }
}

/// A [`LeaderLock`] over another one which goes wrong by a [`FaultPlan`].
#[derive(Debug, Clone)]
pub struct FaultyLeaderLock {
    inner: Arc<dyn LeaderLock>,
    plan: FaultPlan,
}

impl FaultyLeaderLock {
    /// Wraps a lock.
    #[must_use]
    pub fn new(inner: impl LeaderLock, plan: FaultPlan) -> Self {
        Self { inner: Arc::new(inner), plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LeaderLock for FaultyLeaderLock {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    async fn try_acquire(&self, name: &str, ttl: Duration) -> Result<Option<Box<dyn Leadership>>> {
        let led = self.plan.around("acquire", self.inner.try_acquire(name, ttl)).await?;
        Ok(led.map(|inner| {
            Box::new(FaultyLeadership { inner, plan: self.plan.clone() }) as Box<dyn Leadership>
        }))
    }
}

#[derive(Debug)]
struct FaultyLeadership {
    inner: Box<dyn Leadership>,
    plan: FaultPlan,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Leadership for FaultyLeadership {
    fn fencing(&self) -> u64 {
        self.inner.fencing()
    }

    async fn renew(&self) -> Result<()> {
        self.plan.around("renew", self.inner.renew()).await
    }

    async fn release(self: Box<Self>) -> Result<()> {
        let Self { inner, plan } = *self;
        plan.around("release", inner.release()).await
    }
}

/// A [`HealthCheck`](crate::observe::HealthCheck) over another one which goes wrong by a [`FaultPlan`]: a fault
/// that is an error is the verdict `Down`.
#[derive(Debug, Clone)]
pub struct FaultyHealth {
    inner: Arc<dyn crate::observe::HealthCheck>,
    plan: FaultPlan,
}

impl FaultyHealth {
    /// Wraps a health check.
    #[must_use]
    pub fn new(inner: Arc<dyn crate::observe::HealthCheck>, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl crate::observe::HealthCheck for FaultyHealth {
    fn component(&self) -> Cow<'_, str> {
        self.inner.component()
    }

    async fn check(&self) -> crate::observe::Health {
        let checked = async { Ok(self.inner.check().await) };
        match self.plan.around("check", checked).await {
            Ok(health) => health,
            Err(error) => (&error).into(),
        }
    }
}

impl From<Fault> for FaultPlan {
    /// A plan by which every call meets this fault until [`come_up`](Self::come_up).
    fn from(fault: Fault) -> Self {
        let plan = Self::new(0);
        plan.go_down(fault);
        plan
    }
}
