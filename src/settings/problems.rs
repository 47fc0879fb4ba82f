//! Every mistake of a configuration, reported at once.

use aeth_core::{Error, ErrorKind};
use std::fmt;

/// The mistakes found in a configuration. Nothing was opened.
///
/// It converts into an [`Error`] of kind [`Invalid`](ErrorKind::Invalid) that lists them all.
#[derive(Debug, Default, Clone)]
pub struct Problems(Vec<Problem>);

/// One mistake.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Problem {
    /// The setting, by its dotted name (`backup.locations[1]`).
    pub setting: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Problems {
    /// True when there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes, in the order of the settings.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    pub(crate) fn add(
        &mut self,
        setting: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<Option<&'static str>>,
    ) {
        self.0.push(Problem {
            setting: setting.into(),
            message: message.into(),
            remedy: remedy.into().map(Into::into),
        });
    }

    pub(crate) fn add_error(&mut self, setting: impl Into<String>, error: &Error) {
        let setting = setting.into();
        let message = match error.key() {
            Some(key) if key != setting => format!("`{key}`: {}", error.message()),
            _ => error.message().to_owned(),
        };
        self.0.push(Problem { setting, message, remedy: error.remedy().map(Into::into) });
    }

    pub(crate) fn into_result(self) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Invalid, self.to_string()).with_operation("configure"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, " ({remedy})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
