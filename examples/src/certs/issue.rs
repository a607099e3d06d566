//! Keys and certificates.

use std::time::{Duration, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// Who certifies.
pub(super) struct Authority(Issuer<'static, KeyPair>);

/// How long a certificate is valid from now on.
#[derive(Clone, Copy)]
pub(super) struct Validity(Duration);

impl Validity {
    pub(super) fn days(days: u32) -> Self {
        Self(Duration::from_secs(u64::from(days) * 24 * 60 * 60))
    }

    fn apply(self, params: &mut CertificateParams) {
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        let epoch = date_time_ymd(1970, 1, 1);
        // Other machines' clocks may be behind.
        params.not_before = epoch + now.saturating_sub(CLOCKS_DIFFER);
        params.not_after = epoch + now + self.0;
    }
}

impl Authority {
    /// A new one, with its certificate and its key.
    pub(super) fn found() -> Result<(Self, String, String), Error> {
        let mut params = named("raft cluster authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        Validity::days(3650).apply(&mut params);
        let key = KeyPair::generate()?;
        let (pem, secret) = (params.self_signed(&key)?.pem(), key.serialize_pem());
        Ok((Self(Issuer::new(params, key)), pem, secret))
    }

    /// The one with this certificate and key.
    pub(super) fn of(pem: &str, key: &str) -> Result<Self, Error> {
        let key = KeyPair::from_pem(key)?;
        Ok(Self(Issuer::from_ca_cert_pem(pem, key)?))
    }

    /// A certificate for the node of this name, which both dials and is dialed, and its key.
    pub(super) fn certify(
        &self,
        name: &str,
        validity: Validity,
    ) -> Result<(String, String), Error> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = named(name).distinguished_name;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        validity.apply(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.0)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    params.distinguished_name = distinguished;
    params
}

const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);
