//! What can be chosen, and what cannot.

use raft_core::units::Size;
use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};
use serde::{Deserialize, Serialize};

/// How the store uses RocksDB. Every field has a default, and an unknown one is an error.
///
/// The store's memory is about `write_buffer` and a half, and `block_cache`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RocksdbConfig {
    /// The most memory for what was written and is not in a table file yet. When it is full, it is
    /// written out as one. Default: 64 MiB, so that most entries of a node that takes a snapshot
    /// every few minutes are purged while they are in memory, and written once, to the log of
    /// writes.
    pub write_buffer: Size,
    /// The most memory for blocks of table files that were read, their indexes included. Default:
    /// 32 MiB, which holds the indexes of a log of some 20 GiB and what slow followers ask for at
    /// the moment. Recent entries are in the node's own cache.
    pub block_cache: Size,
    /// The largest log of writes. Every opening reads it, and it is released when the write buffer
    /// is written out, which it enforces. Default: 128 MiB, twice the write buffer, which is read
    /// in about a second.
    pub write_ahead_log: Size,
    /// How many table files stay open. Default: 256, which is more than a log has that is purged
    /// now and then, and far below what systems allow a process.
    pub open_files: u16,
}

impl Default for RocksdbConfig {
    fn default() -> Self {
        Self {
            write_buffer: Size(64 << 20),
            block_cache: Size(32 << 20),
            write_ahead_log: Size(128 << 20),
            open_files: 256,
        }
    }
}

impl RocksdbConfig {
    /// Options of the whole database.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options::default();
        // What RocksDB can notice, it shall.
        options.set_paranoid_checks(true);
        options.set_track_and_verify_wals_in_manifest(true);
        // Nothing that is broken is replayed: `verified` has cut off what a crash tore.
        options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
        // Both families reach their table files together: the rare writes of one would otherwise
        // keep the log of writes of the other.
        options.set_atomic_flush(true);
        options.set_db_write_buffer_size(self.write_buffer.in_memory());
        options.set_max_total_wal_size(self.write_ahead_log.0);
        options.set_max_open_files(i32::from(self.open_files));
        // One to write out the buffer, one to merge tables: the node has other threads too.
        options.set_max_background_jobs(2);
        // Writes table files back as they grow, not in one rush that the next sync would wait for.
        options.set_bytes_per_sync(1 << 20);
        options.set_manifest_preallocation_size(64 << 10);
        options.set_max_manifest_file_size(4 << 20);
        // RocksDB's own log of events: warnings, at most four files of 1 MiB.
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(1 << 20);
        options.set_keep_log_file_num(4);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    /// Options of one column family. All share `cache`.
    pub(crate) fn family_options(&self, cache: &Cache) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        // Outside the cache they would grow with the log, without a bound.
        blocks.set_cache_index_and_filter_blocks(true);
        // Entries are read in order and many at once: larger blocks make smaller indexes.
        blocks.set_block_size(16 << 10);
        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        // Commands are compressed by who knows them, or not at all; no codec is compiled in.
        options.set_compression_type(DBCompressionType::None);
        let buffer = self.write_buffer;
        options.set_write_buffer_size(buffer.in_memory());
        // One fills while others are written out; when all are full, commits wait.
        options.set_max_write_buffer_number(4);
        // A table a buffer, and four tables before a merge, which moves those of an append-only
        // log as they are.
        options.set_target_file_size_base(buffer.0);
        options.set_max_bytes_for_level_base(buffer.0.saturating_mul(4));
        options
    }

    /// The cache that all column families share.
    pub(crate) fn cache(&self) -> Cache {
        Cache::new_lru_cache(self.block_cache.in_memory())
    }
}

#[cfg(test)]
mod config_tests {
    use super::*;

    #[test]
    fn what_is_not_said_has_its_default_and_what_is_not_known_is_refused() {
        assert_eq!(toml::from_str(""), Ok(RocksdbConfig::default()));
        let given: RocksdbConfig = toml::from_str("block_cache = \"4KiB\"").unwrap();
        assert_eq!(given.block_cache, Size(4096));
        let error = toml::from_str::<RocksdbConfig>("cache = 1").unwrap_err();
        assert!(error.to_string().contains("cache"), "{error}");
    }
}
