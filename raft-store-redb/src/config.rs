//! What can be chosen.

use serde::{Deserialize, Serialize};

/// How the store uses redb. Every field has a default, and an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedbConfig {
    /// The most memory, in bytes, for cached pages. Default: 64 MiB, which holds the inner pages
    /// of a log of some 10 GiB, and the entries that a slow follower is likely to ask for. Recent
    /// entries are in the node's own cache.
    pub cache_bytes: usize,
}

impl Default for RedbConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
        }
    }
}

#[cfg(test)]
mod config_tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_not_known_is_refused() {
        assert_eq!(toml::from_str(""), Ok(RedbConfig::default()));
        let given: RedbConfig = toml::from_str("cache_bytes = 4096").unwrap();
        assert_eq!(given.cache_bytes, 4096);
        let error = toml::from_str::<RedbConfig>("cash_bytes = 1").unwrap_err();
        assert!(error.to_string().contains("cash_bytes"), "{error}");
    }
}
