//! What clients may ask to change, as bytes in the log.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A change of the store. Doing it twice has the effect of doing it once, so a client may send it
/// again when it did not hear the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sets a key to a value.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Bytes,
    },
    /// Removes a key and its value.
    Delete {
        /// The key.
        key: String,
    },
}

/// What a command did: the machine's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The key was there before.
    Existed,
    /// The key was not there before.
    WasAbsent,
    /// The bytes were no command of this version. Nothing changed, on every replica alike.
    NotUnderstood,
}

/// Bytes that are no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are no command of the key-value store")]
pub struct CommandError;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 4096;

const PUT: u8 = 1;
const DELETE: u8 = 2;

impl Command {
    /// The bytes: a kind (1 byte), the key's length (2, little endian), the key, the value.
    pub fn encode(&self) -> Bytes {
        let (kind, key, value) = match self {
            Self::Put { key, value } => (PUT, key, value.as_ref()),
            Self::Delete { key } => (DELETE, key, [].as_slice()),
        };
        let key_bytes = u16::try_from(key.len()).unwrap_or(u16::MAX);
        let mut bytes = BytesMut::with_capacity(3 + key.len() + value.len());
        bytes.put_u8(kind);
        bytes.put_u16_le(key_bytes);
        bytes.put_slice(key.as_bytes());
        bytes.put_slice(value);
        bytes.freeze()
    }

    /// The command that [`Command::encode`] encoded. The value is copied: a slice would keep
    /// alive the whole message with which it came.
    ///
    /// # Errors
    /// [`CommandError`] for anything else.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, CommandError> {
        let kind = bytes.try_get_u8().map_err(|_| CommandError)?;
        let key_bytes = bytes.try_get_u16_le().map_err(|_| CommandError)?;
        let (key, value) = bytes
            .split_at_checked(key_bytes.into())
            .ok_or(CommandError)?;
        let key = str::from_utf8(key).map_err(|_| CommandError)?.to_owned();
        match kind {
            _ if key.len() > KEY_BYTES_MAX => Err(CommandError),
            PUT => Ok(Self::Put {
                key,
                value: Bytes::copy_from_slice(value),
            }),
            DELETE if value.is_empty() => Ok(Self::Delete { key }),
            _ => Err(CommandError),
        }
    }
}

impl Effect {
    /// One byte.
    pub fn encode(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Existed => &[1],
            Self::WasAbsent => &[0],
            Self::NotUnderstood => &[2],
        })
    }

    /// The effect that [`Effect::encode`] encoded; what is unknown was not understood.
    pub fn decode(bytes: &[u8]) -> Self {
        match bytes {
            [1] => Self::Existed,
            [0] => Self::WasAbsent,
            _ => Self::NotUnderstood,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_their_encoding() {
        let put = Command::Put {
            key: "städte/köln".into(),
            value: Bytes::from_static(b"1 \0 million"),
        };
        let delete = Command::Delete { key: String::new() };
        assert_eq!(Command::decode(&put.encode()), Ok(put));
        assert_eq!(Command::decode(&delete.encode()), Ok(delete));
    }

    #[test]
    fn bytes_that_are_no_command_are_refused() {
        let bad: [&[u8]; 6] = [
            b"",
            b"\x01",
            b"\x01\x05\x00abc",
            b"\x07\x01\x00a",
            b"\x02\x01\x00a and more",
            b"\x01\x01\x00\xff",
        ];
        for bytes in bad {
            assert_eq!(Command::decode(bytes), Err(CommandError), "{bytes:?}");
        }
    }
}
