//! Patterns for names and paths.

use aeth_core::{Error, Result};
use std::fmt;

/// A pattern: `*` any run of bytes, `?` any one byte, `[a-z]` and `[^a-z]` one byte of a set, `\` takes the next
/// literally; none of them matches `/`. A whole segment `**` matches any number of directories.
///
/// Without a `/` the pattern is for a name, wherever it stands; with one it is for a path: from the root when it
/// begins with `/`, else from any directory. Names are bytes: `?` matches one byte of a letter that has several.
///
/// ```
/// use aeth_backup::Glob;
/// assert!(Glob::new("*.txt").unwrap().matches(b"/home/me/letter.txt"));
/// assert!(Glob::new("/home/**/*.txt").unwrap().matches(b"/home/me/old/letter.txt"));
/// assert!(!Glob::new("/home/*.txt").unwrap().matches(b"/home/me/letter.txt"));
/// assert!(Glob::new("[").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    segments: Vec<Segment>,
    rooted: bool,
    ignore_case: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Any,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(u8),
    One,
    Run,
    Set { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Glob {
    /// Parses a pattern.
    ///
    /// # Errors
    /// `Invalid` for an empty pattern, a set that does not end, or a `\` at the end.
    pub fn new(pattern: impl Into<String>) -> Result<Self> {
        let text = pattern.into();
        let rooted = text.starts_with('/');
        let segments = text
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|segment| match segment {
                "**" => Some(Segment::Any),
                name => tokens(name.as_bytes()).map(Segment::Name),
            })
            .collect::<Option<Vec<_>>>()
            .filter(|segments| !segments.is_empty());
        match segments {
            Some(segments) => Ok(Self { text, segments, rooted, ignore_case: false }),
            None => Err(Error::invalid("not a pattern")
                .with_key(&text)
                .with_remedy("close `[` by `]`, and write `\\[` for the sign itself")),
        }
    }

    /// Takes ASCII letters of either case for the same.
    #[must_use]
    pub fn ignore_case(mut self, ignore: bool) -> Self {
        self.ignore_case = ignore;
        self
    }

    /// True when the pattern says something of a name only, not of the directories above it.
    #[must_use]
    pub fn is_name(&self) -> bool {
        !self.rooted && self.segments.len() == 1
    }

    /// Whether an absolute path fits.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> =
            path.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()).collect();
        if self.rooted {
            return self.all(&self.segments, &names);
        }
        (0..names.len()).any(|from| self.all(&self.segments, names.get(from..).unwrap_or_default()))
    }

    fn all(&self, segments: &[Segment], names: &[&[u8]]) -> bool {
        match (segments.split_first(), names.split_first()) {
            (None, None) => true,
            (Some((Segment::Any, rest)), _) => {
                (0..=names.len()).any(|skip| self.all(rest, names.get(skip..).unwrap_or_default()))
            }
            (Some((Segment::Name(tokens), rest)), Some((name, names))) => {
                self.name(tokens, name) && self.all(rest, names)
            }
            _ => false,
        }
    }

    /// One name, going back only to the last `*`: every earlier one has taken as little as it could.
    fn name(&self, tokens: &[Token], name: &[u8]) -> bool {
        let (mut token, mut byte) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        loop {
            match (tokens.get(token), name.get(byte)) {
                (None, None) => return true,
                (Some(Token::Run), _) => {
                    back = Some((token + 1, byte));
                    token += 1;
                    continue;
                }
                (Some(one), Some(found)) if self.one(one, *found) => {
                    token += 1;
                    byte += 1;
                    continue;
                }
                _ => {}
            }
            let Some((after, from)) = back.filter(|(_, from)| *from < name.len()) else { return false };
            back = Some((after, from + 1));
            (token, byte) = (after, from + 1);
        }
    }

    fn one(&self, token: &Token, byte: u8) -> bool {
        let fits = |byte: u8| match token {
            Token::Literal(literal) if self.ignore_case => literal.eq_ignore_ascii_case(&byte),
            Token::Literal(literal) => *literal == byte,
            Token::One => true,
            Token::Run => false,
            Token::Set { ranges, .. } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&byte)),
        };
        match token {
            Token::Set { negated, .. } => {
                let either =
                    self.ignore_case && (fits(byte.to_ascii_lowercase()) || fits(byte.to_ascii_uppercase()));
                (either || fits(byte)) != *negated
            }
            _ => fits(byte),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Glob {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

fn tokens(mut text: &[u8]) -> Option<Vec<Token>> {
    let mut found = Vec::new();
    while let Some((byte, rest)) = text.split_first() {
        text = rest;
        found.push(match byte {
            b'*' => {
                if found.last() == Some(&Token::Run) {
                    continue;
                }
                Token::Run
            }
            b'?' => Token::One,
            b'\\' => Token::Literal(take(&mut text)?),
            b'[' => set(&mut text)?,
            byte => Token::Literal(*byte),
        });
    }
    Some(found)
}

fn take(text: &mut &[u8]) -> Option<u8> {
    let (byte, rest) = text.split_first()?;
    *text = rest;
    Some(*byte)
}

fn set(text: &mut &[u8]) -> Option<Token> {
    let negated = matches!(text.first(), Some(b'^' | b'!'));
    if negated {
        take(text)?;
    }
    let mut ranges = Vec::new();
    loop {
        let from = match take(text)? {
            b']' if !ranges.is_empty() => return Some(Token::Set { negated, ranges }),
            b'\\' => take(text)?,
            byte => byte,
        };
        let to = if matches!(**text, [b'-', next, ..] if next != b']') {
            take(text)?;
            match take(text)? {
                b'\\' => take(text)?,
                byte => byte,
            }
        } else {
            from
        };
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn patterns() {
        let yes = [
            ("*", "/a"),
            ("a*c*e", "/x/abcde"),
            ("a*b", "/aabab"),
            ("[a-c]?[^0-9]", "/bxx"),
            ("[]a]", "/]"),
            ("\\*", "/*"),
            ("/a/**", "/a/b/c"),
            ("/**/c", "/c"),
            ("b/c", "/a/b/c"),
            ("**", "/a"),
        ];
        for (pattern, path) in yes {
            assert!(Glob::new(pattern).unwrap().matches(path.as_bytes()), "{pattern} {path}");
        }
        let no =
            [("a", "/b"), ("*.c", "/a.cc"), ("/b", "/a/b"), ("\\*", "/a"), ("b/c", "/b/x/c"), ("?", "/ab")];
        for (pattern, path) in no {
            assert!(!Glob::new(pattern).unwrap().matches(path.as_bytes()), "{pattern} {path}");
        }
        for broken in ["", "/", "[a", "\\", "[a-"] {
            assert!(Glob::new(broken).is_err(), "{broken}");
        }
        let loose = Glob::new("re[a-d][a-d]me*").unwrap().ignore_case(true);
        assert!(loose.matches(b"/READMEs") && !loose.matches(b"/REZDME"));
        assert!(Glob::new("a*").unwrap().is_name() && !Glob::new("/a*").unwrap().is_name());
        // Many stars do not take exponential time.
        assert!(!Glob::new("*a".repeat(30) + "b").unwrap().matches(&[b'a'; 300]));
    }
}
