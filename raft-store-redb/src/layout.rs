//! Tables and keys. See the crate's documentation.

use raft_core::id::{GroupId, LogIndex};
use redb::TableDefinition;

/// Group and index to record.
pub(crate) const ENTRIES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("entries");
/// Name to small value with checksum, see [`raft_core::store::records`].
pub(crate) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// The version that this build writes, and the only one it reads.
pub(crate) const VERSION: u32 = 1;

/// The one group of today.
pub(crate) const GROUP: GroupId = GroupId::new(0);

/// The key of an entry.
pub(crate) fn entry_key(index: LogIndex) -> (u64, u64) {
    (GROUP.get(), index.get())
}
