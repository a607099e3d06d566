//! The small records that a store on a database keeps beside its entries: one of the whole store,
//! and two of each group.
//!
//! | name | value |
//! |---|---|
//! | [`STORE`] | the version of the database's layout, and the number of commits |
//! | [`log_name`] | the last purged link and the last link |
//! | [`stable_name`] | all stable records |
//!
//! Each value is sealed: a crc32c over the name and the value stands behind it. So a value that was
//! altered, or that stands under another name, is noticed on every read; and as all are there from
//! the creation on, a missing one is damage and never "not yet set". Numbers are little-endian.

use std::collections::BTreeMap;

use super::{LogBounds, StoreError};
use crate::codec;
use crate::id::{ChainLink, GroupId, LogId, LogIndex, Term};

/// Stable records by the names of their keys.
pub type StableRecords = BTreeMap<String, Vec<u8>>;

/// The name of the whole store's record.
pub const STORE: &str = "store";

/// The name of the record of a group's log.
pub fn log_name(group: GroupId) -> String {
    format!("log/{:020}", group.get())
}

/// The name of the record of a group's stable values.
pub fn stable_name(group: GroupId) -> String {
    format!("stable/{:020}", group.get())
}

/// The record that the database says it has under `name`.
///
/// # Errors
/// [`StoreError::Damaged`] if there is none.
pub fn present<T>(place: &str, name: &str, stored: Option<T>) -> Result<T, StoreError> {
    stored.ok_or_else(|| StoreError::damaged(place, name, &"the record is missing"))
}

/// The value of [`STORE`], sealed.
pub fn encode_store(version: u32, commits: u64) -> Vec<u8> {
    let mut value = version.to_le_bytes().to_vec();
    value.extend_from_slice(&commits.to_le_bytes());
    seal(STORE, value)
}

/// How many commits the store holds.
///
/// # Errors
/// [`StoreError::Damaged`], and [`StoreError::Format`] if the intact record has another version
/// than `known`.
pub fn decode_store(place: &str, known: u32, sealed: &[u8]) -> Result<u64, StoreError> {
    let value = unseal(place, STORE, sealed)?;
    let mut rest = Fields(value);
    let version = rest.u32().unwrap_or(0);
    if version != known {
        return Err(StoreError::Format {
            place: place.to_owned(),
            found: version.to_string(),
            known: known.to_string(),
        });
    }
    rest.u64()
        .filter(|_| rest.0.is_empty())
        .ok_or_else(|| wrong_size(place, STORE))
}

/// The value of [`log_name`], sealed.
pub fn encode_log(group: GroupId, bounds: LogBounds) -> Vec<u8> {
    let mut value = Vec::new();
    for link in [bounds.purged, bounds.last] {
        value.extend_from_slice(&link.id.index.get().to_le_bytes());
        value.extend_from_slice(&link.id.term.get().to_le_bytes());
        value.extend_from_slice(&link.checksum.to_le_bytes());
    }
    seal(&log_name(group), value)
}

/// Where the log begins and ends.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn decode_log(place: &str, group: GroupId, sealed: &[u8]) -> Result<LogBounds, StoreError> {
    let name = log_name(group);
    let mut rest = Fields(unseal(place, &name, sealed)?);
    match (rest.link(), rest.link(), rest.0) {
        (Some(purged), Some(last), []) => Ok(LogBounds { purged, last }),
        _ => Err(wrong_size(place, &name)),
    }
}

/// The value of [`stable_name`], sealed.
///
/// # Errors
/// [`StoreError::Misuse`] if the records are too large to encode.
pub fn encode_stable(
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
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn decode_stable(
    place: &str,
    group: GroupId,
    sealed: &[u8],
) -> Result<StableRecords, StoreError> {
    let name = stable_name(group);
    let value = unseal(place, &name, sealed)?;
    codec::decode("stable records", value)
        .map_err(|error| StoreError::damaged(place, &name, &error))
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

fn checksum(name: &str, value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), value)
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

#[cfg(test)]
mod records_tests {
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
        let store = decode_store("file", 1, &encode_store(1, 77));
        assert_eq!(store.unwrap(), 77);
        let records = StableRecords::from([("a".to_owned(), vec![1, 2, 3])]);
        let sealed = encode_stable("file", group, &records).unwrap();
        assert_eq!(decode_stable("file", group, &sealed).unwrap(), records);
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
    fn a_record_that_is_not_there_is_damage() {
        let missing = present::<()>("file", STORE, None);
        assert!(missing.unwrap_err().is_damage());
    }

    #[test]
    fn another_version_is_no_damage() {
        let read = decode_store("file", 1, &encode_store(2, 0));
        assert!(matches!(read, Err(StoreError::Format { .. })));
    }

    #[test]
    fn the_format_is_pinned() {
        let mut store = vec![1, 0, 0, 0];
        store.extend_from_slice(&77_u64.to_le_bytes());
        let check = crc32c::crc32c(&[b"store", &store[..]].concat());
        store.extend_from_slice(&check.to_le_bytes());
        assert_eq!(encode_store(1, 77), store);
        assert_eq!(log_name(GroupId::new(3)), "log/00000000000000000003");
        assert_eq!(stable_name(GroupId::new(3)), "stable/00000000000000000003");
        let bounds = LogBounds {
            purged: link(7),
            last: link(900),
        };
        let log = encode_log(GroupId::new(3), bounds);
        assert_eq!(log.len(), 2 * 20 + 4);
        assert_eq!(log[..8], 7_u64.to_le_bytes());
        assert_eq!(log[28..36], 5_u64.to_le_bytes());
        assert_eq!(log[36..40], 0x0102_0304_u32.to_le_bytes());
    }
}
