//! How certificates name nodes.

use std::fmt;
use std::str::FromStr;

use raft_core::Identity;
use raft_core::id::{ClusterId, NodeId};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};

/// The DNS name in a node's certificate (a subject alternative name), with `{node}` in the place of
/// the node's id and `{cluster}` in that of the cluster's, as 32 hexadecimal digits.
///
/// The default keeps clusters of the same authority apart. A pattern without `{cluster}` suits an
/// authority of the cluster's own. The names are only compared; no DNS server needs to know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

/// A pattern that names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern of names: write a DNS name with {{node}} in it, and {{cluster}} if clusters \
     share an authority, for example {DEFAULT:?}"
)]
pub struct NamePatternError(String);

const DEFAULT: &str = "node-{node}.{cluster}.raft.internal";

impl NamePattern {
    /// The name that the certificate of this node must have. Group, incarnation and epoch do not
    /// matter.
    pub fn name_of(&self, node: Identity) -> String {
        self.name(node.node, node.cluster)
    }

    /// The name that the certificate of a node must have.
    pub fn name(&self, node: NodeId, cluster: ClusterId) -> String {
        self.0
            .replace("{node}", &node.to_string())
            .replace("{cluster}", &cluster.to_string())
    }
}

impl Default for NamePattern {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, NamePatternError> {
        let pattern = Self(text.to_owned());
        // The longest name that it gives. Nothing but the known parts is left of it.
        let longest = pattern.name(NodeId::new(u64::MAX), ClusterId::new(u128::MAX));
        match ServerName::try_from(longest) {
            Ok(ServerName::DnsName(_)) if text.contains("{node}") => Ok(pattern),
            _ => Err(NamePatternError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for NamePattern {
    type Error = NamePatternError;

    fn try_from(text: String) -> Result<Self, NamePatternError> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_a_cluster_has_a_name_of_its_own() {
        let cluster = ClusterId::new(0xabc);
        let name = NamePattern::default().name(NodeId::new(7), cluster);
        assert_eq!(
            name,
            "node-7.00000000000000000000000000000abc.raft.internal"
        );
    }

    #[test]
    fn a_pattern_that_names_no_node_is_refused_with_an_example() {
        for wrong in [
            "",
            "db.example",
            "{node}.{zone}.example",
            "node {node}",
            "10.0.0.{node}",
        ] {
            let error = wrong.parse::<NamePattern>().unwrap_err().to_string();
            assert!(error.contains("node-{node}.{cluster}"), "{wrong}: {error}");
        }
        for right in ["db{node}.example.com", "{node}.{cluster}.example"] {
            assert_eq!(right.parse::<NamePattern>().unwrap().to_string(), right);
        }
    }
}
