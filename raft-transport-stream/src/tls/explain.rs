//! Errors of TLS, in words, and with a reason that both ends share.

use std::io;

use rustls::{AlertDescription, Error, InvalidMessage};

use crate::distrust::Distrust;

/// An error of a stream of TLS, so that its reason is counted and people understand it. Other errors
/// stay as they are.
pub fn explain(error: io::Error) -> io::Error {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(tls) = tls else {
        return error;
    };
    if let Error::AlertReceived(alert) = tls {
        return of_alert(*alert).of_theirs(&tls.to_string());
    }
    of_ours(tls).of_ours(&tls.to_string())
}

/// What an alert of TLS says, from whichever end.
pub fn of_alert(alert: AlertDescription) -> Distrust {
    match alert {
        AlertDescription::CertificateRequired => Distrust::NoCertificate,
        AlertDescription::UnknownCA => Distrust::UnknownAuthority,
        AlertDescription::CertificateExpired => Distrust::OutOfDate,
        AlertDescription::CertificateRevoked => Distrust::Revoked,
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => Distrust::Misnamed,
        AlertDescription::ProtocolVersion
        | AlertDescription::NoApplicationProtocol
        | AlertDescription::HandshakeFailure => Distrust::NoCommonProtocol,
        _ => Distrust::Other,
    }
}

/// Why we ended a handshake: what the alert says that the other end was sent.
fn of_ours(error: &Error) -> Distrust {
    match error {
        Error::NoCertificatesPresented => Distrust::NoCertificate,
        Error::InvalidCertificate(error) => of_alert(error.clone().into()),
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Distrust::NoCommonProtocol,
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Distrust::NotSecured,
        _ => Distrust::Other,
    }
}
