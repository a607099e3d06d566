//! How fresh a client wants a value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use raft_core::node::ReadMode;
use raft_core::units::Period;
use serde::{Deserialize, Serialize};

/// See [`ReadMode`] for what each promises and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// As new as every change acknowledged before.
    #[default]
    Linearizable,
    /// The same, and quicker where the cluster trusts its clocks (`timing.lease_reads`).
    Lease,
    /// As new as every change acknowledged this long before.
    Bounded {
        /// More than zero.
        lag: Duration,
    },
    /// Whatever the server has, however old.
    Local,
}

impl Freshness {
    /// As the node is asked.
    pub fn mode(self) -> ReadMode {
        match self {
            Self::Linearizable => ReadMode::Linearizable,
            Self::Lease => ReadMode::Lease,
            Self::Bounded { lag } => ReadMode::Bounded { lag },
            Self::Local => ReadMode::Local,
        }
    }
}

impl FromStr for Freshness {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "linearizable" => Ok(Self::Linearizable),
            None if text == "lease" => Ok(Self::Lease),
            None if text == "local" => Ok(Self::Local),
            Some(("bounded", lag)) => match lag.parse::<Period>() {
                Ok(Period(lag)) if lag.is_zero() => Err("bounded=0 is linearizable: say so".into()),
                Ok(Period(lag)) => Ok(Self::Bounded { lag }),
                Err(error) => Err(error.to_string()),
            },
            _ => Err(
                "write linearizable, lease, bounded=LAG (for example bounded=2s) or local".into(),
            ),
        }
    }
}

impl fmt::Display for Freshness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linearizable => f.write_str("linearizable"),
            Self::Lease => f.write_str("lease"),
            Self::Bounded { lag } => write!(f, "bounded={}", Period(*lag)),
            Self::Local => f.write_str("local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freshness_is_read_as_it_is_written() {
        for text in ["linearizable", "lease", "bounded=250ms", "local"] {
            assert_eq!(text.parse::<Freshness>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "stale",
            "bounded",
            "bounded=0s",
            "bounded=5",
            "local=1s",
        ] {
            assert!(bad.parse::<Freshness>().is_err(), "{bad}");
        }
    }
}
