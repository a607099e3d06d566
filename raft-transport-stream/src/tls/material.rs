//! What the files mean: how to dial and how to listen.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::ALPN;
use super::config::TlsConfig;
use super::error::TlsError;
use super::files::Files;

/// One state of the files, ready for handshakes.
pub struct Material {
    /// For dialing.
    pub client: Arc<ClientConfig>,
    /// For listening.
    pub server: Arc<ServerConfig>,
    /// This node's own certificate.
    pub(super) own: CertificateDer<'static>,
    /// From the private key, for keys of other uses. See [`super::Credentials::secret`].
    pub(super) secret: Vec<u8>,
}

/// The key is nobody's business, whoever prints a transport.
impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

impl Material {
    pub(super) fn load(
        config: &TlsConfig,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let files = Files::read(config)?;
        let own = files.certificates.first().cloned();
        let own = own.ok_or_else(|| TlsError::Missing {
            what: "certificate",
            path: config.certificate.clone(),
        })?;
        let secret = files.key.secret_der().to_vec();
        let roots = Arc::new(roots(&files.authorities, &config.authorities)?);
        let client = client(config, &files, Arc::clone(&roots), provider)?;
        let server = server(config, files, roots, provider)?;
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
            own,
            secret,
        })
    }
}

fn roots(authorities: &[CertificateDer<'_>], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(authority.clone().into_owned());
        added.map_err(unusable(path))?;
    }
    Ok(roots)
}

/// Verifies the listener's certificate, down to the name of the node that is meant.
fn client(
    config: &TlsConfig,
    files: &Files,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientConfig, TlsError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .with_crls(files.revocations.iter().cloned())
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status()
        .build()
        .map_err(verifier_error(config))?;
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable(&config.certificate))?
        .with_webpki_verifier(verifier)
        .with_client_auth_cert(files.certificates.clone(), files.key.clone_key())
        .map_err(unusable(&config.certificate))?;
    client.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would not look at certificates, and outlive a reload.
    client.resumption = Resumption::disabled();
    client.enable_early_data = false;
    Ok(client)
}

/// Demands a certificate of every caller. Whose it is is verified after the hello.
fn server(
    config: &TlsConfig,
    files: Files,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
        .with_crls(files.revocations)
        .only_check_end_entity_revocation()
        .allow_unknown_revocation_status()
        .build()
        .map_err(verifier_error(config))?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable(&config.certificate))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(files.certificates, files.key)
        .map_err(unusable(&config.certificate))?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server.max_early_data_size = 0;
    Ok(server)
}

fn verifier_error(config: &TlsConfig) -> impl FnOnce(VerifierBuilderError) -> TlsError {
    let authorities = config.authorities.clone();
    let revocations = config.revocations.clone();
    move |error| match error {
        VerifierBuilderError::InvalidCrl(error) => TlsError::Unusable {
            path: revocations.unwrap_or_default(),
            source: error.into(),
        },
        other => TlsError::Unusable {
            path: authorities,
            source: rustls::Error::General(other.to_string()),
        },
    }
}

fn unusable(path: &Path) -> impl FnOnce(rustls::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Unusable { path, source }
}
