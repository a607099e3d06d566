//! The two words that choose the backends, in configuration files and on the command line.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

/// What keeps a node's log, votes and snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreKind {
    /// One redb file and a directory of snapshots; durable.
    #[default]
    Redb,
    /// A RocksDB database and a directory of snapshots; durable.
    Rocksdb,
    /// Nothing is kept.
    Memory,
}

/// What carries messages between the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// Plain TCP: nothing is encrypted, and nobody proves who he is. Only for who says so.
    Tcp,
    /// TCP with mutual TLS 1.3.
    TcpTls,
    /// QUIC, which is always TLS 1.3, here mutual too.
    Quic,
}

impl StoreKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Redb, Self::Rocksdb, Self::Memory];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Rocksdb => "rocksdb",
            Self::Memory => "memory",
        }
    }

    /// The Cargo feature that this build lacks for it, if it does.
    pub const fn lacks_feature(self) -> Option<&'static str> {
        match self {
            Self::Redb if !cfg!(feature = "redb") => Some("redb"),
            Self::Rocksdb if !cfg!(feature = "rocksdb") => Some("rocksdb"),
            Self::Redb | Self::Rocksdb | Self::Memory => None,
        }
    }

    /// Those that this build has.
    pub fn built() -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(|kind| kind.lacks_feature().is_none())
    }

    /// Whether a node finds its data again after a restart.
    pub const fn is_durable(self) -> bool {
        !matches!(self, Self::Memory)
    }
}

impl TransportKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::TcpTls, Self::Quic];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::TcpTls => "tcp+tls",
            Self::Quic => "quic",
        }
    }

    /// The Cargo feature that this build lacks for it, if it does.
    pub const fn lacks_feature(self) -> Option<&'static str> {
        match self {
            Self::Tcp if !cfg!(feature = "tcp") => Some("tcp"),
            Self::TcpTls if !cfg!(feature = "tls") => Some("tls"),
            Self::Quic if !cfg!(feature = "quic") => Some("quic"),
            Self::Tcp | Self::TcpTls | Self::Quic => None,
        }
    }

    /// Those that this build has.
    pub fn built() -> impl Iterator<Item = Self> {
        let all = Self::ALL.into_iter();
        all.filter(|kind| kind.lacks_feature().is_none())
    }

    /// For clusters on one machine, where nobody has named one: secure if this build can be.
    pub fn preferred() -> Self {
        let mut built = Self::built();
        built.find(|kind| kind.is_secure()).unwrap_or(Self::Tcp)
    }

    /// Whether nodes prove to each other who they are, and nobody else can read along.
    pub const fn is_secure(self) -> bool {
        !matches!(self, Self::Tcp)
    }
}

/// What a word for which this build lacks the feature is answered with.
pub(crate) fn not_built(word: &str, feature: &str) -> String {
    format!("this build has no {word}: build raft-examples with `--features {feature}`")
}

/// Finds the word, if this build has what it stands for. The words of an unknown one are those that
/// `explain` looks for.
fn parse<T: Copy>(
    text: &str,
    what: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
    lacks: impl Fn(T) -> Option<&'static str>,
) -> Result<T, String> {
    let Some(kind) = all.iter().copied().find(|kind| name(*kind) == text) else {
        let known: Vec<String> = all
            .iter()
            .map(|kind| format!("`{}`", name(*kind)))
            .collect();
        let known = known.join(", ");
        return Err(format!("unknown {what} `{text}`, expected one of {known}"));
    };
    match lacks(kind) {
        Some(feature) => Err(not_built(text, feature)),
        None => Ok(kind),
    }
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, "store", &Self::ALL, Self::as_str, Self::lacks_feature)
    }
}

impl FromStr for TransportKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, lacks) = (Self::as_str, Self::lacks_feature);
        parse(text, "transport", &Self::ALL, name, lacks)
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StoreKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for TransportKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_read_as_it_is_written_and_one_that_was_not_built_names_its_feature() {
        for kind in StoreKind::ALL {
            match kind.lacks_feature() {
                None => assert_eq!(kind.as_str().parse(), Ok(kind)),
                Some(feature) => {
                    let error = kind.as_str().parse::<StoreKind>().unwrap_err();
                    assert!(error.contains(&format!("--features {feature}")), "{error}");
                }
            }
        }
        for kind in TransportKind::ALL {
            match kind.lacks_feature() {
                None => assert_eq!(kind.as_str().parse(), Ok(kind)),
                Some(feature) => {
                    let error = kind.as_str().parse::<TransportKind>().unwrap_err();
                    assert!(error.contains(&format!("--features {feature}")), "{error}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = "tls".parse::<TransportKind>().unwrap_err();
        assert!(error.contains("`tcp`, `tcp+tls`, `quic`"), "{error}");
    }
}
