//! Structured directories: paths made by policy instead of by hand.
//!
//! A [`Placement`] says of which segments a path is made: the tenant, the date, a hash that spreads or names the content,
//! and the name. It gives paths, the prefixes under which they are listed, and reads paths back. Whatever a tenant or a
//! name holds, it stays one segment: nothing leads out of the directory that it belongs in, and nothing collides with
//! another one's.

use crate::files::Files;
use aeth_core::blob::{BlobStore, Capability, PutMode, PutOptions, PutResult};
use aeth_core::{BlobPath, Error, ErrorKind, Result};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::time::SystemTime;

/// One or more segments of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlacementPart {
    /// The tenant: a customer, a user, an application.
    Tenant,
    /// The year in UTC: `2026`.
    Year,
    /// Year and month: `2026/11`.
    Month,
    /// Year, month and day: `2026/11/28`.
    Day,
    /// Year, month, day and hour: `2026/11/28/07`.
    Hour,
    /// So many segments of two hexadecimal digits of the hash, 1 to 4: `3f/a0`. Spreads many files over directories.
    Spread(u8),
    /// The whole SHA-256 of the content, in hexadecimal: equal contents have one place.
    Content,
    /// The name.
    Name,
}

impl PlacementPart {
    /// How many segments of a date it has.
    fn date_segments(self) -> usize {
        match self {
            Self::Year => 1,
            Self::Month => 2,
            Self::Day => 3,
            Self::Hour => 4,
            _ => 0,
        }
    }

    fn segments(self) -> usize {
        match self {
            Self::Spread(levels) => usize::from(levels),
            Self::Tenant | Self::Content | Self::Name => 1,
            date => date.date_segments(),
        }
    }
}

/// What is filed: what the parts of a path are made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filing {
    /// The tenant.
    pub tenant: Option<String>,
    /// The time that the date is taken from.
    pub time: Option<SystemTime>,
    /// The SHA-256 of the content. Without it [`PlacementPart::Spread`] goes by the name.
    pub content: Option<[u8; 32]>,
    /// The name; it may hold anything, slashes included.
    pub name: Option<String>,
}

impl Filing {
    /// A file of this name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// Sets the tenant.
    #[must_use]
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the time that the date is taken from.
    #[must_use]
    pub fn with_time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Sets the SHA-256 of the content.
    #[must_use]
    pub fn with_content(mut self, sha256: [u8; 32]) -> Self {
        self.content = Some(sha256);
        self
    }
}

/// What a path says about what is filed there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filed {
    /// The tenant.
    pub tenant: Option<String>,
    /// The parts of the date: year, month, day, hour, as many as the placement has.
    pub date: Vec<u32>,
    /// The SHA-256 of the content, where the path has all of it.
    pub content: Option<[u8; 32]>,
    /// The name.
    pub name: Option<String>,
}

/// How the paths of a structured directory are made.
///
/// ```
/// use aeth_files::{Filing, Placement, PlacementPart};
/// use std::time::{Duration, UNIX_EPOCH};
///
/// let uploads = Placement::new([PlacementPart::Tenant, PlacementPart::Day, PlacementPart::Name])?;
/// let filing = Filing::named("invoice 7.pdf")
///     .with_tenant("acme")
///     .with_time(UNIX_EPOCH + Duration::from_secs(1_795_900_000));
/// let path = uploads.path(&filing)?;
/// assert_eq!(path.as_str(), "acme/2026/11/28/invoice 7.pdf");
/// assert_eq!(uploads.read(&path).unwrap().tenant.as_deref(), Some("acme"));
/// // Everything of a tenant:
/// let mut of_acme = Filing::default();
/// of_acme.tenant = Some("acme".into());
/// assert_eq!(uploads.prefix(&of_acme)?, "acme/");
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Placement {
    parts: Vec<PlacementPart>,
}

impl Placement {
    /// Paths of these parts, in this order.
    ///
    /// # Errors
    /// `Invalid` without a part, for one that is there twice (dates count as one), for a last part that names nothing
    /// (it must be the name or the content), and for a spread of other than 1 to 4 levels.
    pub fn new(parts: impl IntoIterator<Item = PlacementPart>) -> Result<Self> {
        let parts: Vec<PlacementPart> = parts.into_iter().collect();
        let refused =
            |what: &str| Err(Error::invalid(format!("the placement {what}")).with_component("placement"));
        let kind = |part: &PlacementPart| match part {
            PlacementPart::Tenant => 0,
            PlacementPart::Spread(_) => 1,
            PlacementPart::Content => 2,
            PlacementPart::Name => 3,
            _ => 4,
        };
        let mut seen: Vec<u8> = parts.iter().map(kind).collect();
        seen.sort_unstable();
        if seen.windows(2).any(|pair| pair.first() == pair.last()) {
            return refused("has a part twice");
        }
        if !matches!(parts.last(), Some(PlacementPart::Name | PlacementPart::Content)) {
            return refused("does not end in the name or the content");
        }
        if parts.iter().any(|part| matches!(part, PlacementPart::Spread(levels) if !(1..=4).contains(levels)))
        {
            return refused("spreads over other than 1 to 4 levels");
        }
        Ok(Self { parts })
    }

    /// By date and name: `2026/11/28/name`.
    #[must_use]
    pub fn by_date() -> Self {
        Self { parts: vec![PlacementPart::Day, PlacementPart::Name] }
    }

    /// By content: `3f/a0/<SHA-256>`. Equal contents are stored once.
    #[must_use]
    pub fn by_content() -> Self {
        Self { parts: vec![PlacementPart::Spread(2), PlacementPart::Content] }
    }

    /// By tenant, then date and name: `acme/2026/11/28/name`.
    #[must_use]
    pub fn by_tenant() -> Self {
        Self { parts: vec![PlacementPart::Tenant, PlacementPart::Day, PlacementPart::Name] }
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &[PlacementPart] {
        &self.parts
    }

    /// The path of what is filed.
    ///
    /// # Errors
    /// `Invalid` when something is missing that a part is made from, and for a path that gets too long.
    pub fn path(&self, filing: &Filing) -> Result<BlobPath> {
        let mut segments = Vec::new();
        for part in &self.parts {
            let made = self.segments(*part, filing)?.ok_or_else(|| {
                Error::invalid(format!("nothing was given for the part {part:?}"))
                    .with_component("placement")
                    .with_remedy("give the tenant, time, content or name that the placement is made of")
            })?;
            segments.extend(made);
        }
        Ok(BlobPath::new(segments.join("/"))?)
    }

    /// What the paths begin with of which only this is known: everything up to the first part for which nothing is
    /// given. Empty when that is the first one.
    ///
    /// # Errors
    /// `Invalid` for what no path can be made of.
    pub fn prefix(&self, filing: &Filing) -> Result<String> {
        let mut prefix = String::new();
        for part in &self.parts {
            let Some(made) = self.segments(*part, filing)? else { break };
            for segment in made {
                prefix.push_str(&segment);
                prefix.push('/');
            }
        }
        Ok(prefix)
    }

    /// What a path says, when this placement could have made it.
    #[must_use]
    pub fn read(&self, path: &BlobPath) -> Option<Filed> {
        let mut segments = path.as_str().split('/');
        let mut filed = Filed::default();
        for part in &self.parts {
            let own: Vec<&str> = segments.by_ref().take(part.segments()).collect();
            let first = *own.first().filter(|_| own.len() == part.segments())?;
            match part {
                PlacementPart::Tenant => filed.tenant = Some(unescape(first)?),
                PlacementPart::Name => filed.name = Some(unescape(first)?),
                PlacementPart::Content => filed.content = Some(unhex(first)?),
                PlacementPart::Spread(_) => {}
                _ => filed.date = own.iter().map(|digits| digits.parse().ok()).collect::<Option<_>>()?,
            }
        }
        segments.next().is_none().then_some(filed)
    }

    fn segments(&self, part: PlacementPart, filing: &Filing) -> Result<Option<Vec<String>>> {
        Ok(match part {
            PlacementPart::Tenant => filing.tenant.as_deref().map(escape).transpose()?.map(|made| vec![made]),
            PlacementPart::Name => filing.name.as_deref().map(escape).transpose()?.map(|made| vec![made]),
            PlacementPart::Content => filing.content.map(|hash| vec![crate::random::to_hex(&hash)]),
            PlacementPart::Spread(levels) => {
                let by_name = || filing.name.as_deref().map(|name| Sha256::digest(name.as_bytes()).into());
                // What a path names must find it again: of the content where that names it, else of the name.
                let named = self.parts.contains(&PlacementPart::Content);
                let hash: Option<[u8; 32]> = if named { filing.content } else { by_name() };
                hash.map(|hash| {
                    hash.iter().take(usize::from(levels)).map(|byte| format!("{byte:02x}")).collect()
                })
            }
            date => match filing.time {
                Some(time) => Some(date_of(time)?.into_iter().take(date.date_segments()).collect()),
                None => None,
            },
        })
    }
}

impl Files {
    /// Stores bytes where a placement puts them, and says where that is. Nothing is ever written over: under a placement
    /// by content alone equal bytes are stored once, and are found there.
    ///
    /// The SHA-256 of the bytes is computed when the filing does not state it.
    ///
    /// # Errors
    /// Those of [`Placement::path`]; `AlreadyExists` when another file has the path; those of a put.
    ///
    /// # Cancel safety
    /// The blob is there or not, never partial.
    pub async fn put_filed(
        &self,
        placement: &Placement,
        mut filing: Filing,
        bytes: impl Into<Bytes> + Send,
        mut options: PutOptions,
    ) -> Result<(BlobPath, PutResult)> {
        let bytes = bytes.into();
        let by_content = placement.parts.last() == Some(&PlacementPart::Content);
        if placement.parts.contains(&PlacementPart::Content) {
            filing.content.get_or_insert_with(|| Sha256::digest(&bytes).into());
        }
        let path = placement.path(&filing)?;
        if self.store().capabilities().has(Capability::CreateOnly) {
            options.mode = PutMode::Create;
        } else if self.exists(&path).await? {
            let taken = Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_key(&path);
            return if by_content { Ok((path, PutResult::default())) } else { Err(taken) };
        }
        match self.store().put_opts(&path, bytes.into(), options).await {
            Err(error) if by_content && error.kind() == ErrorKind::AlreadyExists => {
                Ok((path, PutResult::default()))
            }
            put => Ok((path, put?)),
        }
    }
}

/// Any text as one segment.
fn escape(text: &str) -> Result<String> {
    if text.is_empty() {
        return Err(Error::invalid("a part of the path is empty").with_component("placement"));
    }
    // Slashes apart, as everywhere: by percent.
    let segments: Vec<String> = text
        .split('/')
        .map(|segment| match segment {
            "" => Ok(String::new()),
            segment => Ok(BlobPath::encode(segment.as_bytes())?.as_str().to_owned()),
        })
        .collect::<Result<_>>()?;
    Ok(segments.join("%2F"))
}

/// Year, month, day and hour in UTC.
fn date_of(time: SystemTime) -> Result<[String; 4]> {
    let time = jiff::Timestamp::try_from(time).map_err(|error| {
        Error::invalid("the time is beyond the calendar").with_component("placement").with_source(error)
    })?;
    let time = jiff::tz::TimeZone::UTC.to_datetime(time);
    Ok([
        format!("{:04}", time.year()),
        format!("{:02}", time.month()),
        format!("{:02}", time.day()),
        format!("{:02}", time.hour()),
    ])
}

fn unescape(segment: &str) -> Option<String> {
    String::from_utf8(BlobPath::new(segment).ok()?.decode()).ok()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    #[test]
    fn dates_are_those_of_utc() {
        let placement = Placement::new([PlacementPart::Hour, PlacementPart::Name]).unwrap();
        let of = |seconds| {
            let filing = Filing::named("x").with_time(UNIX_EPOCH + Duration::from_secs(seconds));
            placement.path(&filing).unwrap().as_str().to_owned()
        };
        assert_eq!(of(0), "1970/01/01/00/x");
        assert_eq!(of(951_868_799), "2000/02/29/23/x");
        assert_eq!(of(4_107_542_400), "2100/03/01/00/x");
        let beyond = Filing::named("x").with_time(UNIX_EPOCH + Duration::from_secs(1 << 40));
        assert_eq!(placement.path(&beyond).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn whatever_a_name_holds_it_is_one_segment_and_comes_back() {
        let placement =
            Placement::new([PlacementPart::Tenant, PlacementPart::Spread(2), PlacementPart::Name]).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for name in
            ["..", ".", "a/b", "/", "a\0b", "%2F", "a%2Fb", "é", "../../etc/passwd", "a//b", "CON", " "]
        {
            for tenant in ["..", "a", "a/b"] {
                let path = placement.path(&Filing::named(name).with_tenant(tenant)).unwrap();
                assert_eq!(path.as_str().split('/').count(), 4, "{path}");
                let filed = placement.read(&path).unwrap();
                assert_eq!((filed.tenant.as_deref(), filed.name.as_deref()), (Some(tenant), Some(name)));
                assert!(seen.insert(path), "{name:?} of {tenant:?} collides");
            }
        }
        assert!(placement.path(&Filing::named("")).is_err());
        assert!(placement.path(&Filing::named("x")).is_err());
        assert!(placement.path(&Filing::named("x".repeat(2000)).with_tenant("a")).is_err());
        assert!(placement.read(&BlobPath::new("a/b").unwrap()).is_none());
    }

    #[test]
    fn placements_without_sense_are_refused() {
        use PlacementPart as P;
        let wrong: [&[P]; 5] =
            [&[], &[P::Day], &[P::Day, P::Hour, P::Name], &[P::Name, P::Name], &[P::Spread(9), P::Name]];
        for parts in wrong {
            assert_eq!(Placement::new(parts.to_vec()).unwrap_err().kind(), ErrorKind::Invalid, "{parts:?}");
        }
    }
}
