//! How long a session lives, and how much it may take.

use std::time::Duration;

/// What bounds one session. It is part of the command that opens it, so that every replica
/// decides by the same numbers, also while a new version of the program is rolled out.
///
/// The table takes at most `sessions_max * window_max * response_bytes_max` for responses, if all
/// clients of the group agree on the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// A session that no command used for this long, in cluster time, is gone. Default 1 hour: longer
    /// than most outages of a client. Whole microseconds count.
    pub lifetime: Duration,
    /// The session is not opened if there are this many already. Default 10,000. None is pushed
    /// out for another: it would lose what it was promised.
    pub sessions_max: u32,
    /// Commands that may be under way at once, at most 4,096. Default 64.
    pub window_max: u32,
    /// A response of more bytes is not kept, at most 1 MiB: a repeated command is then told that it
    /// was applied, without the response. Default 4 KiB.
    pub response_bytes_max: u32,
}

/// Limits that make no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLimits(pub &'static str);

const WINDOW_LIMIT: u32 = 4_096;
const RESPONSE_BYTES_LIMIT: u32 = 1 << 20;

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3_600),
            sessions_max: 10_000,
            window_max: 64,
            response_bytes_max: 4 << 10,
        }
    }
}

impl SessionLimits {
    /// Checks every field.
    ///
    /// # Errors
    /// [`InvalidLimits`] names the field and its range.
    pub fn validate(&self) -> Result<(), InvalidLimits> {
        let micros = self.lifetime.as_micros();
        if micros == 0 || u64::try_from(micros).is_err() {
            return Err(InvalidLimits("lifetime must be at least one microsecond"));
        }
        if self.sessions_max == 0 {
            return Err(InvalidLimits("sessions_max must be at least 1"));
        }
        if !(1..=WINDOW_LIMIT).contains(&self.window_max) {
            return Err(InvalidLimits("window_max must be from 1 to 4096"));
        }
        if self.response_bytes_max > RESPONSE_BYTES_LIMIT {
            return Err(InvalidLimits("response_bytes_max must be at most 1 MiB"));
        }
        Ok(())
    }

    pub(super) fn lifetime_micros(&self) -> u64 {
        u64::try_from(self.lifetime.as_micros()).unwrap_or(u64::MAX)
    }
}
