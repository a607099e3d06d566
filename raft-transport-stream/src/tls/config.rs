//! Which files hold a node's certificate and what it trusts.

use std::path::PathBuf;

use raft_core::units::Period;
use serde::{Deserialize, Serialize};

use super::names::NamePattern;

/// Where certificates come from. All files are PEM. Unknown names are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// This node's certificate, and after it those that link it to an authority, if any.
    pub certificate: PathBuf,
    /// The private key of the certificate (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The certificates of the authorities whose nodes are trusted. To change the authority, list
    /// the old and the new one until every node has a certificate of the new.
    pub authorities: PathBuf,
    /// Lists of revoked certificates (CRL), signed by their authorities. Default none. An authority
    /// of which the file holds no list has revoked nothing; a list counts beyond its date.
    #[serde(default)]
    pub revocations: Option<PathBuf>,
    /// How certificates name nodes. Default `node-{node}.{cluster}.raft.internal`.
    #[serde(default)]
    pub names: NamePattern,
    /// How often the files are looked at, and read anew if they have changed. Default 60 s: soon
    /// enough for certificates that last for days. Zero: only when the program asks for it.
    #[serde(default = "poll")]
    pub poll: Period,
    /// How soon after new certificates were read the last connection that rests on the former ones is
    /// made anew. Default 10 s: trust that was withdrawn ends soon, and not all connections are made
    /// at once.
    #[serde(default = "renew_within")]
    pub renew_within: Period,
}

impl TlsConfig {
    /// These files, and the defaults.
    pub fn new(
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
        authorities: impl Into<PathBuf>,
    ) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            authorities: authorities.into(),
            revocations: None,
            names: NamePattern::default(),
            poll: poll(),
            renew_within: renew_within(),
        }
    }
}

fn poll() -> Period {
    Period::from_millis(60_000)
}

fn renew_within() -> Period {
    Period::from_millis(10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_files_are_enough_and_unknown_names_are_refused() {
        let text = r#"{"certificate": "a.pem", "key": "a.key", "authorities": "ca.pem"}"#;
        let config: TlsConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config, TlsConfig::new("a.pem", "a.key", "ca.pem"));
        let wrong = text.replace("authorities", "authority");
        let error = serde_json::from_str::<TlsConfig>(&wrong).unwrap_err();
        assert!(error.to_string().contains("unknown field"), "{error}");
    }
}
