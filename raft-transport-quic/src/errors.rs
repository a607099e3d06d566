//! Errors of connections, in words, and with a reason that both ends share.

use std::io;

use quinn::{ConnectionError, TransportErrorCode, VarInt};
use raft_core::wire::{Refusal, RefusalReason};
use raft_transport_stream::Distrust;
use raft_transport_stream::tls::of_alert;
use rustls::AlertDescription;

/// No stream is open any more.
pub(crate) const UNUSED: (u32, &[u8]) = (1, b"no stream is open any more");
/// The node has stopped.
pub(crate) const STOPPED: (u32, &[u8]) = (2, b"the node has stopped");
/// The other end had its time to dial again.
pub(crate) const RENEWED: (u32, &[u8]) = (3, b"certificates were read anew");
/// A stream that was given up.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(4);

/// An error of a connection, so that its reason is counted and people understand it.
pub(crate) fn explain(error: &ConnectionError) -> io::Error {
    // The other end chose some of the text: nothing that a terminal would obey is left in it.
    let text = Refusal::new(RefusalReason::Other(0), &error.to_string()).text;
    let distrust = |code| handshake_alert(code).map(of_alert);
    match error {
        ConnectionError::TransportError(ours) => {
            if let Some(reason) = distrust(ours.code) {
                return reason.of_ours(&text);
            }
        }
        ConnectionError::ConnectionClosed(theirs) => {
            if let Some(reason) = distrust(theirs.error_code) {
                return reason.of_theirs(&text);
            }
        }
        ConnectionError::VersionMismatch => return Distrust::NoCommonProtocol.of_ours(&text),
        ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => {}
    }
    let kind = io::Error::from(error.clone()).kind();
    io::Error::new(kind, text)
}

/// The alert of TLS that a code of QUIC stands for.
fn handshake_alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let alert = u64::from(code).checked_sub(0x100)?;
    u8::try_from(alert).ok().map(AlertDescription::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn::{ApplicationClose, ConnectionClose};

    #[test]
    fn a_peer_chooses_no_control_characters_for_our_logs() {
        let close = ApplicationClose {
            error_code: VarInt::from_u32(9),
            reason: bytes::Bytes::from("bad\u{1b}[2J\nnews".repeat(100)),
        };
        let text = explain(&ConnectionError::ApplicationClosed(close)).to_string();
        assert!(text.len() <= 256 && text.contains("bad"), "{text}");
        assert!(!text.contains(['\u{1b}', '\n']), "{text}");
    }

    #[test]
    fn a_code_of_the_handshake_is_an_alert_of_tls() {
        let close = |code| ConnectionClose {
            error_code: TransportErrorCode::crypto(code),
            frame_type: None,
            reason: bytes::Bytes::new(),
        };
        let error = explain(&ConnectionError::ConnectionClosed(close(48)));
        assert!(error.to_string().contains("unknown authority"), "{error}");
        assert_eq!(handshake_alert(TransportErrorCode::NO_ERROR), None);
    }
}
