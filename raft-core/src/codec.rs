//! The one place that names bincode: small control values to bytes and back, within a limit.
//!
//! bincode is used in its fixed-width little-endian form, which other codecs can also produce, so
//! it can be replaced without changing a format. Payloads never pass through here: they travel as
//! they are. Every decode is bounded in bytes, must use up its input, and returns an error for any
//! input whatever; no type that is decoded here may contain itself (there is no depth limit).

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most bytes that one control value may take, encoded: 1 MiB.
pub const CONTROL_BYTES_MAX: usize = 1 << 20;

/// Why bytes are not the value that was asked for, or a value cannot become bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes are not such a value, or claim more than [`CONTROL_BYTES_MAX`].
    #[error("malformed {what}: {source}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// What bincode found.
        source: Box<bincode::error::DecodeError>,
    },
    /// A value was there, and bytes after it that do not belong to it.
    #[error("malformed {what}: {left} bytes follow its end")]
    Trailing {
        /// What was expected.
        what: &'static str,
        /// How many bytes were left over.
        left: usize,
    },
    /// The value is larger than [`CONTROL_BYTES_MAX`] or cannot be represented.
    #[error("cannot encode {what}: {source}")]
    Unencodable {
        /// What was to be encoded.
        what: &'static str,
        /// What bincode said.
        source: Box<bincode::error::EncodeError>,
    },
}

/// Encodes `value`. `what` names it in the error.
///
/// # Errors
/// [`CodecError::Unencodable`] if the value refuses to be serialised.
pub fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, layout()).map_err(|source| CodecError::Unencodable {
        what,
        source: Box::new(source),
    })
}

/// Encodes `value` at the end of `out`. `what` names it in the error.
///
/// # Errors
/// As [`encode`]; part of the value may then be in `out`.
pub fn encode_into<T: Serialize>(
    what: &'static str,
    value: &T,
    out: &mut BytesMut,
) -> Result<(), CodecError> {
    bincode::serde::encode_into_std_write(value, &mut out.writer(), layout())
        .map(|_| ())
        .map_err(|source| CodecError::Unencodable {
            what,
            source: Box::new(source),
        })
}

/// Decodes exactly one value from the whole of `bytes`. `what` names it in the error.
///
/// # Errors
/// [`CodecError::Malformed`] or [`CodecError::Trailing`]; never panics, never allocates more than
/// [`CONTROL_BYTES_MAX`].
pub fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::decode_from_slice(bytes, layout()).map_err(|source| {
        CodecError::Malformed {
            what,
            source: Box::new(source),
        }
    })?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(CodecError::Trailing { what, left }),
    }
}

fn layout() -> impl bincode::config::Config {
    bincode::config::standard()
        .with_fixed_int_encoding()
        .with_limit::<CONTROL_BYTES_MAX>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_is_an_error_and_not_an_allocation() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        assert!(decode::<Vec<u64>>("list", &bytes).is_err());
        assert!(decode::<String>("text", &bytes).is_err());
    }

    #[test]
    fn bytes_after_the_value_are_refused() {
        let mut bytes = encode("number", &7_u32).unwrap();
        bytes.push(0);
        assert!(matches!(
            decode::<u32>("number", &bytes),
            Err(CodecError::Trailing { left: 1, .. })
        ));
    }
}
