//! The one error type of the programs: a text for the person who started them.

use std::error::Error;
use std::fmt::Write as _;

/// Why a program ends without having done what it was asked, in words that say what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

/// Turns an error into a [`Failure`] that says what was attempted.
pub trait OrFail<T> {
    /// Adds what was attempted in front of the error and its causes.
    ///
    /// # Errors
    /// The [`Failure`], where there was an error.
    fn or_fail(self, attempt: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl Failure {
    /// A failure in these words.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A failure because of `error`, causes included, each said once.
    pub fn of(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.contains(&words) {
                // Writing to a string cannot fail.
                let _ = write!(text, ": {words}");
            }
            cause = error.source();
        }
        Self(text)
    }
}

impl<T, E: Error> OrFail<T> for Result<T, E> {
    fn or_fail(self, attempt: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure(format!("{}: {}", attempt(), Failure::of(&error))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_attempt_and_every_cause_once() {
        let cause = std::io::Error::other("disk on fire");
        let failure = Err::<(), _>(cause)
            .or_fail(|| "cannot open store".into())
            .unwrap_err();
        assert_eq!(failure.to_string(), "cannot open store: disk on fire");
    }
}
