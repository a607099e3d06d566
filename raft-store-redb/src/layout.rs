//! Tables, keys and values. See the crate's documentation.

use std::collections::BTreeMap;

use raft_core::codec;
use raft_core::id::{ChainLink, GroupId, LogId, LogIndex, Term};
use raft_core::store::{LogBounds, StoreError};
use redb::TableDefinition;

/// Group and index to record.
pub(crate) const ENTRIES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("entries");
/// Name to small value with checksum.
pub(crate) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// The version that this build writes, and the only one it reads.
const VERSION: u32 = 1;

/// Stable records by the names of their keys.
pub(crate) type StableRecords = BTreeMap<String, Vec<u8>>;

/// The record of the whole store.
pub(crate) const STORE_NAME: &str = "store";

/// The record of a group's log.
pub(crate) fn log_name(group: GroupId) -> String {
    format!("log/{:020}", group.get())
}

/// The record of a group's stable values.
pub(crate) fn stable_name(group: GroupId) -> String {
    format!("stable/{:020}", group.get())
}

/// The key of an entry.
pub(crate) fn entry_key(group: GroupId, index: LogIndex) -> (u64, u64) {
    (group.get(), index.get())
}

/// Puts the checksum behind a value.
fn seal(name: &str, mut value: Vec<u8>) -> Vec<u8> {
    let check = checksum(name, &value);
    value.extend_from_slice(&check.to_le_bytes());
    value
}

/// Verifies a value and takes the checksum off.
fn unseal<'a>(place: &str, name: &str, sealed: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let Some((value, expected)) = sealed.split_last_chunk() else {
        let detail = "the record is cut short";
        return Err(StoreError::damaged(place, name, &detail));
    };
    let (found, expected) = (checksum(name, value), u32::from_le_bytes(*expected));
    if found == expected {
        return Ok(value);
    }
    let detail = format!("checksum {found:08x}, expected {expected:08x}");
    Err(StoreError::damaged(place, name, &detail))
}

/// The value of [`STORE_NAME`], sealed.
pub(crate) fn encode_store(commits: u64) -> Vec<u8> {
    let mut value = VERSION.to_le_bytes().to_vec();
    value.extend_from_slice(&commits.to_le_bytes());
    seal(STORE_NAME, value)
}

/// How many commits the store holds.
pub(crate) fn decode_store(place: &str, sealed: &[u8]) -> Result<u64, StoreError> {
    let value = unseal(place, STORE_NAME, sealed)?;
    let mut rest = Fields(value);
    let version = rest.u32().unwrap_or(0);
    if version != VERSION {
        return Err(StoreError::Format {
            place: place.to_owned(),
            found: version.to_string(),
            known: VERSION.to_string(),
        });
    }
    rest.u64()
        .filter(|_| rest.0.is_empty())
        .ok_or_else(|| wrong_size(place, STORE_NAME))
}

/// The value of [`log_name`], sealed.
pub(crate) fn encode_log(group: GroupId, bounds: LogBounds) -> Vec<u8> {
    let mut value = Vec::new();
    for link in [bounds.purged, bounds.last] {
        value.extend_from_slice(&link.id.index.get().to_le_bytes());
        value.extend_from_slice(&link.id.term.get().to_le_bytes());
        value.extend_from_slice(&link.checksum.to_le_bytes());
    }
    seal(&log_name(group), value)
}

/// Where the log begins and ends.
pub(crate) fn decode_log(
    place: &str,
    group: GroupId,
    sealed: &[u8],
) -> Result<LogBounds, StoreError> {
    let name = log_name(group);
    let mut rest = Fields(unseal(place, &name, sealed)?);
    match (rest.link(), rest.link(), rest.0) {
        (Some(purged), Some(last), []) => Ok(LogBounds { purged, last }),
        _ => Err(wrong_size(place, &name)),
    }
}

/// The value of [`stable_name`], sealed.
pub(crate) fn encode_stable(
    place: &str,
    group: GroupId,
    records: &StableRecords,
) -> Result<Vec<u8>, StoreError> {
    let value = codec::encode("stable records", records).map_err(|error| StoreError::Misuse {
        place: place.to_owned(),
        detail: error.to_string(),
    })?;
    Ok(seal(&stable_name(group), value))
}

/// The stable values.
pub(crate) fn decode_stable(
    place: &str,
    group: GroupId,
    sealed: &[u8],
) -> Result<StableRecords, StoreError> {
    let name = stable_name(group);
    let value = unseal(place, &name, sealed)?;
    codec::decode("stable records", value)
        .map_err(|error| StoreError::damaged(place, &name, &error))
}

fn wrong_size(place: &str, name: &str) -> StoreError {
    StoreError::damaged(place, name, &"the record has another size")
}

/// Numbers from the front of a value.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn link(&mut self) -> Option<ChainLink> {
        let index = LogIndex::new(self.u64()?);
        let term = Term::new(self.u64()?);
        let checksum = self.u32()?;
        Some(ChainLink {
            id: LogId::new(term, index),
            checksum,
        })
    }
}

fn checksum(name: &str, value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), value)
}

#[cfg(test)]
mod layout_tests {
    use super::*;

    fn link(index: u64) -> ChainLink {
        ChainLink {
            id: LogId::new(Term::new(5), LogIndex::new(index)),
            checksum: 0x0102_0304,
        }
    }

    #[test]
    fn records_are_read_back() {
        let bounds = LogBounds {
            purged: link(7),
            last: link(900),
        };
        let group = GroupId::new(3);
        let sealed = encode_log(group, bounds);
        assert_eq!(decode_log("file", group, &sealed).unwrap(), bounds);
        assert_eq!(decode_store("file", &encode_store(77)).unwrap(), 77);
    }

    #[test]
    fn a_record_under_another_name_or_with_a_flipped_bit_is_damage() {
        let bounds = LogBounds::default();
        let sealed = encode_log(GroupId::new(3), bounds);
        let other = decode_log("file", GroupId::new(4), &sealed);
        assert!(other.unwrap_err().is_damage());
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = decode_log("file", GroupId::new(3), &flipped);
            assert!(read.unwrap_err().is_damage());
        }
        for length in 0..sealed.len() {
            let read = decode_log("file", GroupId::new(3), &sealed[..length]);
            assert!(read.unwrap_err().is_damage());
        }
    }

    #[test]
    fn another_version_is_no_damage() {
        let sealed = seal(STORE_NAME, vec![2, 0, 0, 0]);
        let read = decode_store("file", &sealed);
        assert!(matches!(read, Err(StoreError::Format { .. })));
    }
}
