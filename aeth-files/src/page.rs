//! What every listing shares: where it goes on, and the tokens that say so.

use aeth_core::blob::{ListOptions, PageToken};
use aeth_core::{Error, Result};

/// The size of a page when the caller names none, and its maximum.
pub(crate) const PAGE: usize = 1_000;

/// Where a listing goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// At the first path.
    Start,
    /// At the first path greater than this text.
    Path(String),
    /// At the first path greater than all that start with this text.
    Prefix(String),
}

impl After {
    /// True when the path was listed already (or is not wanted).
    pub(crate) fn passed(&self, path: &str) -> bool {
        match self {
            Self::Start => false,
            Self::Path(after) => path <= after.as_str(),
            Self::Prefix(after) => path <= after.as_str() || path.starts_with(after.as_str()),
        }
    }

    /// True when every path that starts with `prefix` was listed already.
    pub(crate) fn passed_all(&self, prefix: &str) -> bool {
        match self {
            Self::Start => false,
            Self::Path(after) => prefix < after.as_str() && !after.starts_with(prefix),
            Self::Prefix(after) => {
                prefix.starts_with(after.as_str()) || (prefix < after.as_str() && !after.starts_with(prefix))
            }
        }
    }
}

/// A listing's options, checked.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) prefix: String,
    pub(crate) delimiter: bool,
    pub(crate) after: After,
    pub(crate) limit: usize,
}

impl Query {
    /// Checks the options and reads the token.
    ///
    /// # Errors
    /// Invalid for a token that was not made for this listing.
    pub(crate) fn new(options: ListOptions) -> Result<Self> {
        let prefix = options.prefix.unwrap_or_default();
        let after = match (&options.token, options.start_after) {
            (Some(token), _) => parse(token, &prefix, options.delimiter)?,
            (None, Some(text)) if !text.is_empty() => After::Path(text),
            (None, _) => After::Start,
        };
        let limit = if options.limit == 0 { PAGE } else { options.limit.min(PAGE) };
        Ok(Self { prefix, delimiter: options.delimiter, after, limit })
    }

    /// The token of the page that follows `after`.
    pub(crate) fn token(&self, after: &After) -> Option<PageToken> {
        let (kind, text) = match after {
            After::Start => return None,
            After::Path(text) => ('b', text),
            After::Prefix(text) => ('p', text),
        };
        let mark = mark(&self.prefix, self.delimiter, kind, text);
        Some(PageToken::new(format!("1{kind}{mark:08x}{text}")))
    }

    /// The common prefix under which a path is grouped, when it is.
    pub(crate) fn group<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.get(self.prefix.len()..).filter(|_| self.delimiter)?;
        rest.find('/').and_then(|at| path.get(..self.prefix.len() + at + 1))
    }
}

fn parse(token: &PageToken, prefix: &str, delimiter: bool) -> Result<After> {
    let refused = || {
        Error::invalid("the page token is not one that this store gave for this listing")
            .with_remedy("repeat the options of the page that gave the token, or start without one")
    };
    let rest = token.as_str().strip_prefix('1').ok_or_else(refused)?;
    let kind = rest.chars().next().filter(|kind| matches!(kind, 'b' | 'p')).ok_or_else(refused)?;
    let (given, text) = rest.get(1..9).zip(rest.get(9..)).ok_or_else(refused)?;
    if u32::from_str_radix(given, 16) != Ok(mark(prefix, delimiter, kind, text)) {
        return Err(refused());
    }
    Ok(if kind == 'b' { After::Path(text.into()) } else { After::Prefix(text.into()) })
}

/// Ties a token to its listing; against mistakes, not against malice (a token gives no rights).
fn mark(prefix: &str, delimiter: bool, kind: char, text: &str) -> u32 {
    let mut crc = crc32c::crc32c(prefix.as_bytes());
    crc = crc32c::crc32c_append(crc, &[0xff, u8::from(delimiter), kind as u8]);
    crc32c::crc32c_append(crc, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_belong_to_their_listing() {
        let options = ListOptions::prefix("a/").with_delimiter();
        let query = Query::new(options.clone()).unwrap();
        for after in [After::Path("a/b".into()), After::Prefix("a/b/".into())] {
            let token = query.token(&after).unwrap();
            let again = Query::new(options.clone().with_token(token.clone())).unwrap();
            assert_eq!(again.after, after);
            assert!(Query::new(ListOptions::prefix("b/").with_token(token)).is_err());
        }
        for bad in ["", "1", "2b00000000x", "1b", "1bzzzzzzzz", "1b00000000a", "1b0000000é"] {
            let options = ListOptions::default().with_token(PageToken::new(bad));
            assert!(Query::new(options).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn after_agrees_with_the_order_of_paths() {
        let paths = ["a", "a-b", "a/b", "a/b/c", "a/c", "a0", "b"];
        for after in paths {
            let path = After::Path(after.into());
            for candidate in paths {
                assert_eq!(path.passed(candidate), candidate <= after);
                let prefix = format!("{candidate}/");
                let members = paths.iter().filter(|p| p.starts_with(&prefix));
                if path.passed_all(&prefix) {
                    assert!(members.into_iter().all(|p| path.passed(p)));
                }
            }
        }
        let group = After::Prefix("a/".into());
        assert!(group.passed("a/b/c") && group.passed("a-b") && !group.passed("a0"));
        assert!(group.passed_all("a/b/") && !group.passed_all("a0/"));
    }
}
