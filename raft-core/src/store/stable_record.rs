//! The stable records' own wrapper, so that damage is noticed on whatever medium they are kept.
//!
//! ```text
//!  0         1        2        4           4+n       8+n
//!  | version | record | zero   | value (n) | crc32c  |
//! ```
//!
//! `record` says which record it is, so that two swapped records are damage; the checksum, little
//! endian, covers everything before it; the value is encoded by [`crate::codec`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Relocation, StableKey, StableStore, StoreError};
use crate::codec;
use crate::former_lives::FormerLives;
use crate::hard_state::{HardState, Identity};

/// A value that a node keeps under a [`StableKey`], verified on every read.
pub trait StableRecord: Serialize + DeserializeOwned {
    /// Where it is kept.
    const KEY: StableKey;
    /// The version of the value's format.
    const VERSION: u8;

    /// Reads the record from `stable`; `None` if it was never stored.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for any bytes that are not an intact record: damage is never
    /// reported as absence. [`StoreError::Format`] for an intact one of another version.
    fn load(stable: &dyn StableStore) -> Result<Option<Self>, StoreError> {
        let stored = stable.get(Self::KEY)?;
        stored.map(|bytes| Self::from_record(&bytes)).transpose()
    }

    /// Stores the record in `stable`; durable on return.
    ///
    /// # Errors
    /// [`StoreError`] of the medium.
    fn save(&self, stable: &mut dyn StableStore) -> Result<(), StoreError> {
        stable.set(Self::KEY, &self.to_record()?)
    }

    /// The bytes that are stored.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the value cannot be encoded.
    fn to_record(&self) -> Result<Vec<u8>, StoreError> {
        let value = codec::encode(Self::KEY.name(), self).map_err(|error| StoreError::Misuse {
            place: PLACE.to_owned(),
            detail: error.to_string(),
        })?;
        let mut record = vec![Self::VERSION, tag(Self::KEY), 0, 0];
        record.extend_from_slice(&value);
        record.extend_from_slice(&crc32c::crc32c(&record).to_le_bytes());
        Ok(record)
    }

    /// Reads what [`StableRecord::to_record`] wrote.
    ///
    /// # Errors
    /// As [`StableRecord::load`].
    fn from_record(record: &[u8]) -> Result<Self, StoreError> {
        let name = Self::KEY.name();
        let damaged = |detail: &dyn ToString| StoreError::damaged(PLACE, name, &detail.to_string());
        let Some((checked, expected)) = record.split_last_chunk() else {
            return Err(damaged(&"the record is cut short"));
        };
        let (found, expected) = (crc32c::crc32c(checked), u32::from_le_bytes(*expected));
        if found != expected {
            let detail = format!("checksum {found:08x}, expected {expected:08x}");
            return Err(damaged(&detail));
        }
        let Some(([version, kind, zero @ ..], value)) = checked.split_first_chunk::<PREFIX_BYTES>()
        else {
            return Err(damaged(&"the record is cut short"));
        };
        if *kind != tag(Self::KEY) {
            return Err(damaged(&format!("another record, {kind}, is stored here")));
        }
        if *version != Self::VERSION || *zero != [0; 2] {
            return Err(StoreError::Format {
                place: format!("{PLACE}, {name}"),
                found: version.to_string(),
                known: Self::VERSION.to_string(),
            });
        }
        codec::decode(name, value).map_err(|error| damaged(&error))
    }
}

impl StableRecord for HardState {
    const KEY: StableKey = StableKey::HardState;
    const VERSION: u8 = 1;
}

impl StableRecord for Identity {
    const KEY: StableKey = StableKey::Identity;
    /// Version 1 had no recovery epoch.
    const VERSION: u8 = 2;
}

impl StableRecord for Relocation {
    const KEY: StableKey = StableKey::Relocation;
    const VERSION: u8 = 1;
}

impl StableRecord for FormerLives {
    const KEY: StableKey = StableKey::FormerLives;
    const VERSION: u8 = 1;
}

/// How errors name the place: a stable store need not have a file.
const PLACE: &str = "stable store";
const PREFIX_BYTES: usize = 4;

fn tag(key: StableKey) -> u8 {
    match key {
        StableKey::HardState => 1,
        StableKey::Identity => 2,
        StableKey::FormerLives => 3,
        StableKey::Relocation => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClusterId, GroupId, Incarnation, NodeId, RecoveryEpoch, Term};
    use crate::memory::MemoryStores;

    fn hard_state() -> HardState {
        HardState {
            term: Term::new(7),
            vote: Some(NodeId::new(3)),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_saved() {
        let mut stores = MemoryStores::new().open();
        assert_eq!(HardState::load(&*stores.stable).unwrap(), None);
        hard_state().save(&mut *stores.stable).unwrap();
        assert_eq!(
            HardState::load(&*stores.stable).unwrap(),
            Some(hard_state())
        );
        let identity = Identity {
            cluster: ClusterId::from_name("tests"),
            group: GroupId::new(1),
            node: NodeId::new(2),
            incarnation: Incarnation::new(3),
            epoch: RecoveryEpoch::new(4),
        };
        identity.save(&mut *stores.stable).unwrap();
        assert_eq!(Identity::load(&*stores.stable).unwrap(), Some(identity));
    }

    #[test]
    fn the_format_is_pinned() {
        let mut expected = vec![1, 1, 0, 0];
        expected.extend_from_slice(&7_u64.to_le_bytes());
        expected.push(1);
        expected.extend_from_slice(&3_u64.to_le_bytes());
        expected.extend_from_slice(&0x413b_d88c_u32.to_le_bytes());
        assert_eq!(hard_state().to_record().unwrap(), expected);
        let identity = Identity {
            cluster: ClusterId::new(5),
            group: GroupId::new(1),
            node: NodeId::new(2),
            incarnation: Incarnation::new(3),
            epoch: RecoveryEpoch::new(4),
        };
        let mut expected = vec![2, 2, 0, 0];
        expected.extend_from_slice(&5_u128.to_le_bytes());
        for number in 1..=4_u64 {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        expected.extend_from_slice(&crc32c::crc32c(&expected).to_le_bytes());
        assert_eq!(identity.to_record().unwrap(), expected);
        let departed = Relocation::Departed {
            ticket: 9,
            to: "b".into(),
        };
        let mut expected = vec![1, 4, 0, 0, 1, 0, 0, 0];
        for number in [9_u64, 1] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        expected.push(b'b');
        expected.extend_from_slice(&crc32c::crc32c(&expected).to_le_bytes());
        assert_eq!(departed.to_record().unwrap(), expected);
        let mut former = FormerLives::new(Some(identity), None, "rot");
        former.earlier.push(Incarnation::new(6));
        let mut expected = vec![1, 3, 0, 0, 1];
        expected.extend_from_slice(&5_u128.to_le_bytes());
        for number in 1..=4_u64 {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        for number in [1_u64, 6] {
            expected.extend_from_slice(&number.to_le_bytes());
        }
        expected.push(0);
        expected.extend_from_slice(&3_u64.to_le_bytes());
        expected.extend_from_slice(b"rot");
        expected.push(0);
        expected.extend_from_slice(&crc32c::crc32c(&expected).to_le_bytes());
        assert_eq!(former.to_record().unwrap(), expected);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_damage() {
        let intact = hard_state().to_record().unwrap();
        for bit in 0..intact.len() * 8 {
            let mut record = intact.clone();
            record[bit / 8] ^= 1 << (bit % 8);
            assert!(HardState::from_record(&record).unwrap_err().is_damage());
        }
        for length in 0..intact.len() {
            let cut = HardState::from_record(&intact[..length]);
            assert!(cut.unwrap_err().is_damage());
        }
    }

    #[test]
    fn damage_is_told_from_absence() {
        let mut stores = MemoryStores::new().open();
        stores.stable.set(StableKey::HardState, &[]).unwrap();
        let loaded = HardState::load(&*stores.stable);
        assert!(loaded.unwrap_err().is_damage());
    }

    #[test]
    fn a_record_under_another_key_is_damage() {
        let record = hard_state().to_record().unwrap();
        assert!(Identity::from_record(&record).unwrap_err().is_damage());
    }

    #[test]
    fn a_newer_version_is_no_damage() {
        let mut record = hard_state().to_record().unwrap();
        record[0] = 2;
        record.truncate(record.len() - 4);
        record.extend_from_slice(&crc32c::crc32c(&record).to_le_bytes());
        let loaded = HardState::from_record(&record);
        assert!(matches!(loaded, Err(StoreError::Format { .. })));
    }
}
