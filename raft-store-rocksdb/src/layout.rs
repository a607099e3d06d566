//! Column families and keys. See the crate's documentation.

use raft_core::id::{GroupId, LogIndex};

/// Group and index to record.
pub(crate) const ENTRIES: &str = "entries";
/// Name to small value with checksum, see [`raft_core::store::records`].
pub(crate) const RECORDS: &str = "records";

/// The version that this build writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;

/// The one group of today.
pub(crate) const GROUP: GroupId = GroupId::new(0);

/// The key of an entry: big-endian, so that RocksDB's order of bytes is the log's order.
pub(crate) fn entry_key(index: LogIndex) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let (group, rest) = key.split_at_mut(8);
    group.copy_from_slice(&GROUP.get().to_be_bytes());
    rest.copy_from_slice(&index.get().to_be_bytes());
    key
}

/// The index in an entry's key, if it is one of the group.
pub(crate) fn entry_index(key: &[u8]) -> Option<LogIndex> {
    let (group, rest) = key.split_first_chunk::<8>()?;
    let index = rest.first_chunk::<8>()?;
    let whole = key.len() == KEY_BYTES && *group == GROUP.get().to_be_bytes();
    whole.then(|| LogIndex::new(u64::from_be_bytes(*index)))
}

const KEY_BYTES: usize = 16;

#[cfg(test)]
mod layout_tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_log_and_read_back() {
        let indexes = [0, 1, 255, 256, 65_536, u64::MAX - 1].map(LogIndex::new);
        let keys = indexes.map(entry_key);
        assert!(keys.is_sorted());
        for (index, key) in indexes.iter().zip(keys) {
            assert_eq!(entry_index(&key), Some(*index));
        }
        assert_eq!(entry_index(&[0; 15]), None);
        assert_eq!(entry_index(&[1; 16]), None);
    }

    #[test]
    fn the_format_is_pinned() {
        let key = entry_key(LogIndex::new(0x0102));
        assert_eq!(key, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
