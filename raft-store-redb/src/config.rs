//! What can be chosen.

use raft_core::units::Size;
use serde::{Deserialize, Serialize};

/// How the store uses redb. Every field has a default, and an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedbConfig {
    /// The most memory for cached pages. Default: 64 MiB, which holds the inner pages of a log of
    /// some 10 GiB, and the entries that a slow follower is likely to ask for. Recent entries are
    /// in the node's own cache.
    pub cache: Size,
}

impl Default for RedbConfig {
    fn default() -> Self {
        Self {
            cache: Size(64 << 20),
        }
    }
}

#[cfg(test)]
mod config_tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_not_known_is_refused() {
        assert_eq!(toml::from_str(""), Ok(RedbConfig::default()));
        let given: RedbConfig = toml::from_str("cache = \"4KiB\"").unwrap();
        assert_eq!(given.cache, Size(4096));
        let error = toml::from_str::<RedbConfig>("cash = 1").unwrap_err();
        assert!(error.to_string().contains("cash"), "{error}");
    }
}
