//! Object lock of S3, which object_store does not know.

use super::S3Options;
use super::s3::bucket;
use super::{client, refused};
use crate::adapt::convert::outer_path;
use aeth_core::backup::ObjectLock;
use aeth_core::{BlobPath, Clock, ClockExt, Error, ErrorKind, Result};
use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use jiff::{Timestamp, Unit};
use object_store::aws::AmazonS3;
use object_store::client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector};
use object_store::signer::{HeaderName, HeaderValue, Method, SignedUrlOptions, Signer};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a signed request may be on its way.
const VALID: Duration = Duration::from_secs(300);
/// What an answer of this size has to say is not what was asked for.
const LONGEST: usize = 64 << 10;

/// Who may shorten the time for which an object is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ObjectLockMode {
    /// Whoever has the right `s3:BypassGovernanceRetention`. The default.
    #[default]
    Governance,
    /// Nobody, not even the account's owner: a mistake is paid for until the time is over.
    Compliance,
}

impl ObjectLockMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }
}

/// Keeps the objects of an S3 bucket from being destroyed
/// ([S3 Object Lock](https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html), `PutObjectRetention`).
///
/// The bucket must have been made with object lock, and so with versions: a delete hides an object that is kept
/// behind a marker, and a delete of the very version is refused. Two requests store and lock an object; give the bucket
/// a default retention where not even the moment between them may be open. A lifecycle rule for versions that are not
/// current removes at last what was deleted and is kept no longer.
#[derive(Debug)]
pub struct S3ObjectLock {
    bucket: AmazonS3,
    client: HttpClient,
    mode: ObjectLockMode,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

impl S3ObjectLock {
    /// The lock of the bucket of an [`ObjectStoreAdapter`](crate::ObjectStoreAdapter::s3) with the same options. Nothing is
    /// sent yet.
    ///
    /// # Errors
    /// Invalid for settings that are incomplete or not right.
    pub fn new(options: S3Options, mode: ObjectLockMode) -> Result<Self> {
        let connect = ReqwestConnector::default().connect(&client(options.allow_http));
        let client = connect.map_err(|error| refused(error, "s3"))?;
        let (timeout, clock) = (options.adapter.timeout, Arc::clone(&options.adapter.clock));
        Ok(Self { bucket: bucket(options)?, client, mode, timeout, clock })
    }

    /// Sends a request for the retention of an object; gives the answer's text.
    async fn ask(&self, method: Method, path: &BlobPath, body: Option<String>) -> Result<Bytes> {
        let failed = |error: Error| error.with_operation("object lock").with_component("s3").with_key(path);
        let mut options = SignedUrlOptions::new().with_query([("retention", "")]);
        if let Some(body) = &body {
            // Demanded of every request that sets a retention.
            let sum = base64::prelude::BASE64_STANDARD.encode(Sha256::digest(body));
            let sum = HeaderValue::from_str(&sum)
                .map_err(|error| failed(Error::other("no checksum").with_source(error)))?;
            options = options
                .with_signed_header(HeaderName::from_static("x-amz-checksum-sha256"), sum)
                .with_signed_header(
                    HeaderName::from_static("x-amz-sdk-checksum-algorithm"),
                    HeaderValue::from_static("SHA256"),
                );
        }
        let place = outer_path(path.as_str())?;
        let url = self.bucket.signed_url_opts(method.clone(), &place, VALID, &options).await;
        let url =
            url.map_err(|error| failed(Error::other("the request cannot be signed").with_source(error)))?;
        let mut request = HttpRequest::new(HttpRequestBody::from(body.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() =
            url.as_str().parse().map_err(|error| failed(Error::other("no URL").with_source(error)))?;
        request.headers_mut().extend(options.signed_headers);
        let answer = async {
            let answer = self.client.execute(request).await?;
            let status = answer.status().as_u16();
            Ok::<_, object_store::client::HttpError>((status, answer.into_body().bytes().await?))
        };
        let answer = self.clock.timeout(self.timeout, answer).await.map_err(failed)?;
        let (status, text) = answer
            .map_err(|error| failed(Error::unavailable("the bucket does not answer").with_source(error)))?;
        match status {
            200..=299 => Ok(text),
            _ => Err(failed(refusal(status, &String::from_utf8_lossy(text.get(..LONGEST).unwrap_or(&text))))),
        }
    }
}

/// The content of an element, in an answer that has it at most once.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(content, _)| content)
}

/// What an answer that is no success says.
fn refusal(status: u16, text: &str) -> Error {
    let code = element(text, "Code").unwrap_or_default();
    let said = element(text, "Message").unwrap_or_default();
    let error = |kind: ErrorKind| Error::new(kind, format!("the bucket refuses: {code} ({status}) {said}"));
    let setup = "make the bucket with object lock: it cannot be switched on by this program";
    match (status, code) {
        (_, "NoSuchKey" | "NoSuchBucket") => error(ErrorKind::NotFound),
        (_, "InvalidRequest" | "ObjectLockConfigurationNotFoundError" | "NotImplemented") => {
            error(ErrorKind::Unsupported).with_remedy(setup)
        }
        (401 | 403, _) => error(ErrorKind::Denied)
            .with_remedy("give the credentials the rights s3:PutObjectRetention and s3:GetObjectRetention"),
        (404, _) => error(ErrorKind::NotFound),
        (429 | 503, _) => error(ErrorKind::Busy),
        (500.., _) => error(ErrorKind::Unavailable),
        _ => error(ErrorKind::Other),
    }
}

#[async_trait]
impl ObjectLock for S3ObjectLock {
    async fn keep_until(&self, path: &BlobPath, until: SystemTime) -> Result<()> {
        let mode = self.mode.as_str();
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{}</RetainUntilDate></Retention>",
            whole_second(until)?
        );
        self.ask(Method::PUT, path, Some(body)).await.map(drop)
    }

    async fn kept_until(&self, path: &BlobPath) -> Result<Option<SystemTime>> {
        let text = match self.ask(Method::GET, path, None).await {
            Ok(text) => text,
            Err(error) if error.to_string().contains("NoSuchObjectLockConfiguration") => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&text);
        let Some(until) = element(&text, "RetainUntilDate") else { return Ok(None) };
        let until: Timestamp = until
            .parse()
            .map_err(|error| Error::other("the bucket names no time").with_key(path).with_source(error))?;
        let until = UNIX_EPOCH + Duration::from_secs(u64::try_from(until.as_second()).unwrap_or(0));
        Ok((until > self.clock.now()).then_some(until))
    }
}

/// A time as S3 writes it, rounded up to what it can tell apart.
fn whole_second(time: SystemTime) -> Result<String> {
    let invalid =
        |error: jiff::Error| Error::invalid("nothing can be kept until this time").with_source(error);
    let time = Timestamp::try_from(time).map_err(invalid)?;
    let up = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Ceil);
    let time = time.round(up).map_err(invalid)?;
    Ok(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_answers_read() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_000_000_001);
        assert_eq!(whole_second(time).unwrap(), "2023-11-14T22:13:21Z");
        let text = "<Error><Code>InvalidRequest</Code><Message>Bucket is missing Object Lock Configuration</Message></Error>";
        let error = refusal(400, text);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("missing Object Lock") && error.remedy().is_some());
        assert_eq!(refusal(403, "<Error><Code>AccessDenied</Code></Error>").kind(), ErrorKind::Denied);
        assert_eq!(refusal(404, "").kind(), ErrorKind::NotFound);
        assert_eq!(element("<A><B>x</B></A>", "B"), Some("x"));
        assert_eq!(element("<A/>", "B"), None);
    }
}
