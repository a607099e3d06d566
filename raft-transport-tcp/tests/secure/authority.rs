//! Authorities, certificates and files for tests.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use raft_core::id::{ClusterId, NodeId};
use raft_core::units::Period;
use raft_transport_stream::tls::{NamePattern, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use tempfile::TempDir;

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate with its key, as PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate that names these, usable by both ends.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued {
            certificate,
            key: key.serialize_pem(),
        }
    }

    /// A list that revokes these serial numbers.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2020, 2, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The files of one node.
pub(crate) struct Files {
    dir: TempDir,
}

impl Files {
    pub(crate) fn new(issued: &Issued, authorities: &str) -> Self {
        let files = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        files.put(issued);
        files.trust(authorities);
        files
    }

    pub(crate) fn put(&self, issued: &Issued) {
        self.write("node.pem", &issued.certificate);
        self.write("node.key", &issued.key);
    }

    pub(crate) fn trust(&self, authorities: &str) {
        self.write("authorities.pem", authorities);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Read only when the test says so, and renewed at once.
    pub(crate) fn config(&self) -> TlsConfig {
        let path = |name| self.path(name);
        let mut config =
            TlsConfig::new(path("node.pem"), path("node.key"), path("authorities.pem"));
        config.poll = Period::from_millis(0);
        config.renew_within = Period::from_millis(1);
        config
    }
}

/// The name of a node of the cluster `test`, by the default pattern.
pub(crate) fn name(node: u64) -> String {
    name_in("test", node)
}

pub(crate) fn name_in(cluster: &str, node: u64) -> String {
    NamePattern::default().name(NodeId::new(node), ClusterId::from_name(cluster))
}

/// The files of a node whose name does not tell its cluster, for tests that are not about
/// certificates: the same authority for all.
pub(crate) fn any_cluster(node: NodeId) -> TlsConfig {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    static WRITTEN: Mutex<()> = Mutex::new(());
    let authority = AUTHORITY.get_or_init(|| Authority::new("all tests"));
    let pattern = "node-{node}.raft.test";
    // What a static holds is left behind: in the target directory, not in that of the system.
    static DIRECTORY: OnceLock<TempDir> = OnceLock::new();
    let dir = DIRECTORY.get_or_init(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let path = |name: &str| dir.path().join(format!("{node}-{name}"));
    let mut config = TlsConfig::new(path("node.pem"), path("node.key"), path("authorities.pem"));
    config.names = pattern.parse().unwrap();
    config.poll = Period::from_millis(0);
    let _alone = WRITTEN.lock().unwrap();
    if !config.key.exists() {
        let issued = authority.issue(&[&config.names.name(node, ClusterId::new(0))]);
        std::fs::write(&config.authorities, &authority.pem).unwrap();
        std::fs::write(&config.certificate, issued.certificate).unwrap();
        std::fs::write(&config.key, issued.key).unwrap();
    }
    config
}
