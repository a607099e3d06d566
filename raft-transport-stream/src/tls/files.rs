//! The files, read and watched.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem};

use super::config::TlsConfig;
use super::error::TlsError;

/// What the files hold.
pub(super) struct Files {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) revocations: Vec<CertificateRevocationListDer<'static>>,
}

/// What tells a file from what it was: when it was changed, and its size. Nothing if it cannot be
/// looked at.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<Option<(SystemTime, u64)>>);

impl Files {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, TlsError> {
        let key = PrivateKeyDer::from_pem_file(&config.key);
        Ok(Self {
            certificates: all("certificate", &config.certificate)?,
            key: key.map_err(unreadable("a private key", &config.key))?,
            authorities: all("certificate of an authority", &config.authorities)?,
            revocations: match &config.revocations {
                Some(path) => all("list of revoked certificates", path)?,
                None => Vec::new(),
            },
        })
    }
}

impl Stamps {
    pub(super) fn of(config: &TlsConfig) -> Self {
        let files = [&config.certificate, &config.key, &config.authorities];
        Self(
            files
                .into_iter()
                .chain(&config.revocations)
                .map(stamp)
                .collect(),
        )
    }
}

fn stamp(path: &PathBuf) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Every section of one kind, at least one.
fn all<T: PemObject>(what: &'static str, path: &Path) -> Result<Vec<T>, TlsError> {
    let sections = T::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<T>, pem::Error>>);
    let sections = sections.map_err(unreadable(what, path))?;
    if sections.is_empty() {
        return Err(TlsError::Missing {
            what,
            path: path.to_owned(),
        });
    }
    Ok(sections)
}

fn unreadable(what: &'static str, path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Unreadable { what, path, source }
}
