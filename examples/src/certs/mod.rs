//! `kv certs`: an authority of the cluster's own, and a certificate for each node.
//!
//! ```text
//! authority.pem   what every node trusts: [tls] authorities
//! authority.key   signs certificates of further nodes: keep it off the servers
//! node-1.pem      [tls] certificate of node 1
//! node-1.key      [tls] key of node 1
//! ```
//!
//! A certificate names its node and its cluster, in the way that the transports expect by default: a
//! node can pass for no other, and belongs to no other cluster.

mod files;
mod issue;

use std::path::{Path, PathBuf};

use clap::Args;
use raft_core::id::{ClusterId, NodeId};
#[cfg(not(feature = "tls"))]
use raft_transport_quic::NamePattern;
#[cfg(feature = "tls")]
use raft_transport_tcp::NamePattern;

use self::files::{New, write_new};
use self::issue::{Authority, Validity};
use crate::config::TlsSection;
use crate::failure::{Failure, OrFail};
use crate::terminal::say;

/// For whom, and where.
#[derive(Clone, Debug, Args)]
pub struct CertsOptions {
    /// The cluster's name, as in the configuration of its nodes.
    #[arg(long)]
    cluster: String,
    /// The nodes' numbers: 1,2,3.
    #[arg(long = "node", required = true, value_delimiter = ',')]
    nodes: Vec<u64>,
    /// Where the files go. An authority that is there already signs; otherwise one is made.
    #[arg(long)]
    directory: PathBuf,
    /// How many days the nodes' certificates are valid. The authority's is for ten years.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
}

/// Makes the files, none of which may be there.
///
/// # Errors
/// [`Failure`] if one is there already, or cannot be written.
pub fn run(options: &CertsOptions) -> Result<(), Failure> {
    let CertsOptions {
        cluster,
        nodes,
        directory,
        days,
    } = options;
    let written = make(cluster, nodes, directory, *days)?;
    for path in written {
        say(format_args!("wrote {}", path.display()));
    }
    say(format_args!(
        "give each node its own two files and {}; keep {} off the servers",
        directory.join(AUTHORITY_PEM).display(),
        directory.join(AUTHORITY_KEY).display()
    ));
    Ok(())
}

/// Makes certificates for `nodes` of a cluster, and an authority if there is none. Returns what was
/// written.
///
/// # Errors
/// As [`run`].
pub fn make(
    cluster: &str,
    nodes: &[u64],
    directory: &Path,
    days: u16,
) -> Result<Vec<PathBuf>, Failure> {
    let cannot = || format!("cannot make the directory {}", directory.display());
    std::fs::create_dir_all(directory).or_fail(cannot)?;
    let paths = (directory.join(AUTHORITY_PEM), directory.join(AUTHORITY_KEY));
    let mut news = Vec::new();
    let authority = match (paths.0.exists(), paths.1.exists()) {
        (true, true) => {
            let read = |path: &Path| {
                std::fs::read_to_string(path).or_fail(|| format!("cannot read {}", path.display()))
            };
            Authority::of(&read(&paths.0)?, &read(&paths.1)?)
                .or_fail(|| format!("cannot use the authority in {}", directory.display()))?
        }
        (false, false) => {
            let (authority, pem, key) = Authority::found().or_fail(|| "cannot certify".into())?;
            news.push(New::public(paths.0, pem));
            news.push(New::secret(paths.1, key));
            authority
        }
        (has_certificate, _) => {
            let (there, missing) = match has_certificate {
                true => (paths.0, paths.1),
                false => (paths.1, paths.0),
            };
            return Err(Failure::new(format!(
                "{} is there and {} is not: bring both, or choose another directory",
                there.display(),
                missing.display()
            )));
        }
    };
    for &node in nodes {
        let name = name_of(cluster, node);
        let (pem, key) = authority
            .certify(&name, Validity::days(days.into()))
            .or_fail(|| format!("cannot certify node {node}"))?;
        let section = section(directory, node);
        news.push(New::public(section.certificate.clone(), pem));
        news.push(New::secret(section.key.clone(), key));
    }
    write_new(&news)?;
    Ok(news.into_iter().map(|new| new.path).collect())
}

/// Where [`make`] puts the files of a node.
pub fn section(directory: &Path, node: u64) -> TlsSection {
    TlsSection::new(
        directory.join(format!("node-{node}.pem")),
        directory.join(format!("node-{node}.key")),
        directory.join(AUTHORITY_PEM),
    )
}

/// The name that the other nodes ask for.
fn name_of(cluster: &str, node: u64) -> String {
    NamePattern::default().name(NodeId::new(node), ClusterId::from_name(cluster))
}

const AUTHORITY_PEM: &str = "authority.pem";
const AUTHORITY_KEY: &str = "authority.key";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_for_their_owner_alone_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let written = make("orders", &[1, 2], directory.path(), 30).unwrap();
        assert_eq!(written.len(), 6);
        for path in &written {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            if path.extension().is_some_and(|kind| kind == "key") {
                assert_eq!(mode, 0o600, "{}", path.display());
            }
        }
        let before = std::fs::read(directory.path().join("node-2.key")).unwrap();
        let error = make("orders", &[3, 2], directory.path(), 30).unwrap_err();
        assert!(error.to_string().contains("node-2.pem"), "{error}");
        let after = std::fs::read(directory.path().join("node-2.key")).unwrap();
        assert_eq!(before, after);
        let third = directory.path().join("node-3.key");
        assert!(!third.exists(), "all or nothing");
        // A further node is certified by the same authority.
        let authority = std::fs::read(directory.path().join(AUTHORITY_PEM)).unwrap();
        assert_eq!(make("orders", &[3], directory.path(), 30).unwrap().len(), 2);
        let same = std::fs::read(directory.path().join(AUTHORITY_PEM)).unwrap();
        assert_eq!(authority, same);
        std::fs::remove_file(directory.path().join(AUTHORITY_KEY)).unwrap();
        let error = make("orders", &[4], directory.path(), 30).unwrap_err();
        assert!(error.to_string().contains("authority.key"), "{error}");
    }

    #[test]
    fn a_certificate_names_its_node_and_its_cluster() {
        let name = name_of("orders", 7);
        assert!(name.starts_with("node-7."), "{name}");
        assert_ne!(name, name_of("other", 7));
    }
}
