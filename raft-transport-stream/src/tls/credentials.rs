//! A node's certificate and what it trusts, replaced while it runs.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use raft_core::Identity;
use raft_core::id::NodeId;
use rustls::crypto::ring::default_provider;
use rustls::crypto::tls13::OkmBlock;
use rustls::crypto::{CryptoProvider, SecureRandom};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use webpki::EndEntityCert;

use super::config::TlsConfig;
use super::error::TlsError;
use super::files::Stamps;
use super::material::Material;
use super::names::NamePattern;
use crate::renewal::Renewals;
use crate::stats::TransportStats;
use crate::streams::Proof;
use crate::tasks::Tasks;

/// What handshakes rest on. Handshakes that begin after a [reload](Self::reload) rest on what was
/// read then; streams of before are [due](Renewals) soon after.
#[derive(Debug)]
pub struct Credentials {
    config: TlsConfig,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<Material>,
    /// Changes after `current` has.
    generation: watch::Sender<u64>,
    /// The files as they were when they were last read with success. Held while they are read.
    stamps: Mutex<Stamps>,
    local: OnceLock<Identity>,
    reloads: AtomicU64,
    reloads_failed: AtomicU64,
}

impl Credentials {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file that cannot be used.
    pub fn load(config: TlsConfig) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(default_provider());
        let stamps = Stamps::of(&config);
        let material = Material::load(&config, &provider)?;
        Ok(Arc::new(Self {
            config,
            provider,
            current: ArcSwap::from_pointee(material),
            generation: watch::Sender::new(0),
            stamps: Mutex::new(stamps),
            local: OnceLock::new(),
            reloads: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
        }))
    }

    /// Takes the side of this node, and begins to watch the files.
    ///
    /// # Errors
    /// [`TlsError::AnotherNode`] if the certificate does not name it.
    pub fn begin(self: &Arc<Self>, local: Identity, tasks: &Tasks) -> Result<(), TlsError> {
        self.check_own(&self.current(), local)?;
        // A transport is started once.
        let _ = self.local.set(local);
        let every = self.config.poll.0;
        if !every.is_zero() {
            let this = Arc::clone(self);
            tasks.spawn(async move {
                let mut ticks = interval(every);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let this = Arc::clone(&this);
                    // Files may block. A failure is logged and counted, and tried again.
                    let _ = tokio::task::spawn_blocking(move || this.reload_if_changed()).await;
                }
            });
        }
        Ok(())
    }

    /// Reads all files anew. If one cannot be used, everything stays as it was. May block.
    ///
    /// # Errors
    /// [`TlsError`], also logged and counted.
    pub fn reload(&self) -> Result<(), TlsError> {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        self.reload_as(&mut stamps, Stamps::of(&self.config))
    }

    fn reload_if_changed(&self) -> Result<(), TlsError> {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Stamps::of(&self.config);
        if *stamps == now {
            return Ok(());
        }
        self.reload_as(&mut stamps, now)
    }

    fn reload_as(&self, stamps: &mut Stamps, now: Stamps) -> Result<(), TlsError> {
        let node = self.local.get().map(|local| local.node.get());
        let loaded = Material::load(&self.config, &self.provider).and_then(|material| {
            let local = self.local.get();
            local.map_or(Ok(()), |local| self.check_own(&material, *local))?;
            Ok(material)
        });
        match loaded {
            Ok(material) => {
                self.current.store(Arc::new(material));
                self.generation.send_modify(|generation| *generation += 1);
                *stamps = now;
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!(node, certificate = ?self.config.certificate, "certificates read anew");
                Ok(())
            }
            Err(error) => {
                self.reloads_failed.fetch_add(1, Ordering::Relaxed);
                tracing::error!(node, %error, "certificates not read anew, the former ones stay");
                Err(error)
            }
        }
    }

    /// What new handshakes rest on. Take [`Self::renewals`] first.
    pub fn current(&self) -> Arc<Material> {
        self.current.load_full()
    }

    /// For a handshake that is about to begin.
    pub fn renewals(&self) -> Renewals {
        Renewals::after(self.generation.subscribe(), self.config.renew_within.0)
    }

    /// The name that the certificate of `peer` must have, for dialing it.
    ///
    /// # Errors
    /// If this node was not started.
    pub fn server_name(&self, peer: NodeId) -> io::Result<ServerName<'static>> {
        let local = self.local.get();
        let local = local.ok_or_else(|| io::Error::other("the transport was not started"))?;
        let name = self.config.names.name(peer, local.cluster);
        ServerName::try_from(name).map_err(io::Error::other)
    }

    /// What the other end has proved with these certificates, its own first.
    pub fn proof(&self, certificates: Option<&[CertificateDer<'_>]>) -> Proof {
        let leaf = certificates.and_then(<[_]>::first);
        let leaf = leaf.map(|leaf| leaf.clone().into_owned());
        let names = self.config.names.clone();
        Proof::Checked(Arc::new(move |claimed| match &leaf {
            Some(leaf) => check_name(leaf, &names, claimed),
            None => Err("no certificate was shown".into()),
        }))
    }

    /// A key that only this node has, the same after a restart, for one purpose.
    pub fn secret(&self, purpose: &str) -> Vec<u8> {
        self.mac(purpose.as_bytes(), &self.current().secret)
    }

    /// A message authentication code (HMAC).
    pub fn mac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let suites = &self.provider.cipher_suites;
        let suite = suites.iter().find_map(rustls::SupportedCipherSuite::tls13);
        let suite = suite.expect("the provider has suites of TLS 1.3");
        let (key, _) = key.split_at(key.len().min(OkmBlock::MAX_LEN));
        let tag = suite.hkdf_provider.hmac_sign(&OkmBlock::new(key), message);
        tag.as_ref().to_vec()
    }

    /// Where random bytes come from.
    pub fn random(&self) -> &'static dyn SecureRandom {
        self.provider.secure_random
    }

    /// Adds how often the files were read anew.
    pub fn count(&self, stats: &mut TransportStats) {
        stats.reloads = self.reloads.load(Ordering::Relaxed);
        stats.reloads_failed = self.reloads_failed.load(Ordering::Relaxed);
    }

    fn check_own(&self, material: &Material, local: Identity) -> Result<(), TlsError> {
        check_name(&material.own, &self.config.names, local).map_err(|reason| {
            TlsError::AnotherNode {
                path: self.config.certificate.clone(),
                reason,
            }
        })
    }
}

/// Whether a certificate, whose authority was verified before, names this node.
fn check_name(
    certificate: &CertificateDer<'_>,
    names: &NamePattern,
    claimed: Identity,
) -> Result<(), String> {
    let wanted = names.name_of(claimed);
    let name = ServerName::try_from(wanted.as_str()).map_err(|error| error.to_string())?;
    let parsed = EndEntityCert::try_from(certificate).map_err(|error| error.to_string())?;
    match parsed.verify_is_valid_for_subject_name(&name) {
        Ok(()) => Ok(()),
        Err(webpki::Error::CertNotValidForName(context)) => Err(format!(
            "the certificate does not name {wanted}, but {}",
            match context.presented.as_slice() {
                [] => "nobody".to_owned(),
                names => names.join(", "),
            }
        )),
        Err(error) => Err(format!("the certificate does not name {wanted}: {error}")),
    }
}
