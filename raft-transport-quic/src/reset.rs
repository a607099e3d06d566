//! How peers learn that a node has forgotten their connections because it was started anew.

use std::sync::Arc;

use quinn::crypto::{CryptoError, HmacKey};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use raft_transport_stream::tls::Credentials;
use rustls::crypto::SecureRandom;

/// An endpoint whose resets its peers recognise after a restart: their key is derived from the node's
/// private key, so that nobody else can end its connections.
pub(crate) fn endpoint_config(credentials: &Arc<Credentials>) -> EndpointConfig {
    let key = ResetKey {
        secret: credentials.secret("raft quic stateless reset"),
        credentials: Arc::clone(credentials),
    };
    let mut config = EndpointConfig::new(Arc::new(key));
    let random = credentials.random();
    config.cid_generator(move || Box::new(RandomIds(random)));
    config
}

/// Signs connection ids.
struct ResetKey {
    secret: Vec<u8>,
    credentials: Arc<Credentials>,
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        let signature = self.credentials.mac(&self.secret, data);
        for (out, byte) in signature_out.iter_mut().zip(signature) {
            *out = byte;
        }
    }

    fn signature_len(&self) -> usize {
        self.secret.len()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = self.credentials.mac(&self.secret, data);
        // All of it is compared, whatever the first difference.
        let differs = expected
            .iter()
            .zip(signature)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        match differs == 0 && expected.len() == signature.len() {
            true => Ok(()),
            false => Err(CryptoError),
        }
    }
}

/// Ids without structure: those of a former life are answered by a reset too.
struct RandomIds(&'static dyn SecureRandom);

const ID_BYTES: usize = 8;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; ID_BYTES];
        let filled = self.0.fill(&mut id);
        filled.expect("the system has random bytes, as every handshake needs");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
