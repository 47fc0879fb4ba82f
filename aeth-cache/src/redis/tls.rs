//! Certificates.

use super::error::COMPONENT;
use aeth_core::{Error, Result, Secret};
use std::fmt;

/// Whom to trust and who to be on a `rediss://` connection; everything is PEM text. Without it the system's
/// root certificates are trusted, and no client certificate is shown.
///
/// ```no_run
/// # fn example() -> aeth_core::Result<()> {
/// use aeth_cache::redis::{RedisOptions, RedisTls};
/// use aeth_core::Secret;
///
/// let tls = RedisTls::new()
///     .with_ca(std::fs::read("/etc/app/redis-ca.pem")?)
///     .with_client(std::fs::read("/etc/app/app.pem")?, Secret::from_file("/run/secrets/app-key.pem")?);
/// let options = RedisOptions::new("rediss://redis.internal:6380").with_tls(tls);
/// # drop(options);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RedisTls {
    /// The certificates of the authorities that are trusted, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// The certificate that the server is shown, its chain behind it, and its private key.
    pub client: Option<(Vec<u8>, Secret)>,
}

impl RedisTls {
    /// The system's root certificates, no client certificate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, and no others.
    #[must_use]
    pub fn with_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Shows the server this certificate (`tls-auth-clients`).
    #[must_use]
    pub fn with_client(mut self, certificate: impl Into<Vec<u8>>, key: Secret) -> Self {
        self.client = Some((certificate.into(), key));
        self
    }

    /// Each part must hold what it is named after; whether it can be used shows when it is taken apart.
    pub(super) fn check(&self) -> Result<()> {
        let holds = |pem: &[u8], what: &[u8]| pem.windows(what.len()).any(|window| window == what);
        let certificate = b"-----BEGIN CERTIFICATE-----";
        let wrong = |setting| {
            Err(Error::invalid("there is no PEM block of that kind in it")
                .with_component(COMPONENT)
                .with_key(setting)
                .with_remedy("give PEM text: `-----BEGIN CERTIFICATE-----` or `-----BEGIN PRIVATE KEY-----`"))
        };
        if self.ca.as_ref().is_some_and(|pem| !holds(pem, certificate)) {
            return wrong("tls.ca");
        }
        match &self.client {
            Some((pem, _)) if !holds(pem, certificate) => wrong("tls.client certificate"),
            Some((_, key)) if !holds(key.expose(), b"PRIVATE KEY-----") => wrong("tls.client key"),
            _ => Ok(()),
        }
    }

    #[cfg(feature = "redis-tls")]
    pub(super) fn certificates(&self) -> redis::TlsCertificates {
        let client = self.client.as_ref().map(|(certificate, key)| redis::ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().to_vec(),
        });
        redis::TlsCertificates { client_tls: client, root_cert: self.ca.clone() }
    }
}

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}
