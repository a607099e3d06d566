//! The keys and values, and the last entry that changed them.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use raft_core::id::LogId;
use xxhash_rust::xxh3::Xxh3;

use super::command::{Command, Effect};

/// What a replica knows after some entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvState {
    entries: BTreeMap<Arc<str>, Bytes>,
    applied: LogId,
}

/// The state as the machine writes it and clients read it.
#[derive(Clone, Debug, Default)]
pub struct SharedState(Arc<RwLock<KvState>>);

impl KvState {
    /// Carries out a command; what is no command changes nothing but the position.
    pub fn apply(&mut self, id: LogId, command: &[u8]) -> Effect {
        self.applied = id;
        let before = match Command::decode(command) {
            Ok(Command::Put { key, value }) => self.entries.insert(key.into(), value),
            Ok(Command::Delete { key }) => self.entries.remove(key.as_str()),
            Err(_) => return Effect::NotUnderstood,
        };
        before.map_or(Effect::WasAbsent, |_| Effect::Existed)
    }

    /// The value of a key.
    pub fn value(&self, key: &str) -> Option<Bytes> {
        self.entries.get(key).cloned()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last command applied.
    pub fn applied(&self) -> LogId {
        self.applied
    }

    /// XXH3 (128 bits) over every key and value in order, lengths included. Two states with equal
    /// content have equal digests, whichever way they came about.
    pub fn digest(&self) -> u128 {
        let mut hash = Xxh3::new();
        for (key, value) in &self.entries {
            hash.update(&(key.len() as u64).to_le_bytes());
            hash.update(key.as_bytes());
            hash.update(&(value.len() as u64).to_le_bytes());
            hash.update(value);
        }
        hash.digest128()
    }

    /// Writes the content: magic, number of keys (8 bytes), then each key and value with its
    /// length (4 bytes) before it. Numbers are little endian.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(SNAPSHOT_MAGIC)?;
        out.write_all(&(self.entries.len() as u64).to_le_bytes())?;
        for (key, value) in &self.entries {
            for part in [key.as_bytes(), value.as_ref()] {
                let length = u32::try_from(part.len()).map_err(io::Error::other)?;
                out.write_all(&length.to_le_bytes())?;
                out.write_all(part)?;
            }
        }
        Ok(())
    }

    /// Reads what [`KvState::write`] wrote, as the state after the entry `applied`.
    ///
    /// # Errors
    /// `InvalidData` for anything else; of the reader.
    pub fn read(applied: LogId, from: &mut dyn Read) -> io::Result<Self> {
        let mut magic = [0; SNAPSHOT_MAGIC.len()];
        from.read_exact(&mut magic)?;
        if &magic != SNAPSHOT_MAGIC {
            return Err(invalid("this is no snapshot of the key-value store"));
        }
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        let mut entries = BTreeMap::new();
        for _ in 0..u64::from_le_bytes(count) {
            let key =
                String::from_utf8(read_part(from)?).map_err(|_| invalid("a key is no text"))?;
            entries.insert(key.into(), read_part(from)?.into());
        }
        match from.read(&mut [0])? {
            0 => Ok(Self { entries, applied }),
            _ => Err(invalid("the snapshot goes on after its last key")),
        }
    }
}

impl SharedState {
    /// The state, for reading. Held for short: the machine waits meanwhile.
    pub fn read(&self) -> RwLockReadGuard<'_, KvState> {
        // A poisoned lock means that a writer panicked; apply and restore change the state last.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, KvState> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

const SNAPSHOT_MAGIC: &[u8; 8] = b"RAFTKV\x00\x01";

/// Reads one length and as many bytes. A length that lies costs no more memory than there is data.
fn read_part(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let mut part = Vec::new();
    let read = from.take(length).read_to_end(&mut part)?;
    if read as u64 == length {
        Ok(part)
    } else {
        Err(invalid("the snapshot ends early"))
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use raft_core::id::{LogIndex, Term};

    use super::*;

    fn at(index: u64) -> LogId {
        LogId::new(Term::new(1), LogIndex::new(index))
    }

    fn put(key: &str, value: &'static [u8]) -> Bytes {
        let (key, value) = (key.into(), Bytes::from_static(value));
        Command::Put { key, value }.encode()
    }

    fn delete(key: &str) -> Bytes {
        Command::Delete { key: key.into() }.encode()
    }

    #[test]
    fn equal_content_has_an_equal_digest_whatever_the_path() {
        let (mut direct, mut detour) = (KvState::default(), KvState::default());
        direct.apply(at(1), &put("a", b"1"));
        assert_eq!(detour.apply(at(4), &put("b", b"2")), Effect::WasAbsent);
        assert_eq!(detour.apply(at(5), &put("a", b"0")), Effect::WasAbsent);
        assert_eq!(detour.apply(at(6), &put("a", b"1")), Effect::Existed);
        assert_ne!(direct.digest(), detour.digest());
        assert_eq!(detour.apply(at(7), &delete("b")), Effect::Existed);
        assert_eq!(direct.digest(), detour.digest());
        assert_ne!(direct.applied(), detour.applied());
    }

    #[test]
    fn a_digest_tells_where_a_key_ends() {
        let (mut one, mut other) = (KvState::default(), KvState::default());
        one.apply(at(1), &put("ab", b"c"));
        other.apply(at(1), &put("a", b"bc"));
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn a_snapshot_restores_the_state() {
        let mut state = KvState::default();
        state.apply(at(1), &put("köln", b"1"));
        state.apply(at(2), &put("", b""));
        let mut bytes = Vec::new();
        state.write(&mut bytes).unwrap();
        assert_eq!(KvState::read(at(2), &mut bytes.as_slice()).unwrap(), state);
    }

    #[test]
    fn a_snapshot_that_is_cut_longer_or_foreign_is_refused() {
        let mut state = KvState::default();
        state.apply(at(1), &put("a", b"value"));
        let mut bytes = Vec::new();
        state.write(&mut bytes).unwrap();
        for end in 0..bytes.len() {
            assert!(
                KvState::read(at(1), &mut &bytes[..end]).is_err(),
                "cut at {end}"
            );
        }
        bytes.push(0);
        assert!(KvState::read(at(1), &mut bytes.as_slice()).is_err());
        bytes[0] ^= 1;
        assert!(KvState::read(at(1), &mut bytes.as_slice()).is_err());
    }
}
