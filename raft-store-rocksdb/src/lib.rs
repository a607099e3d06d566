//! LogStore and StableStore on RocksDB (docs follow).

mod config;
mod database;
mod error;
mod layout;
mod log;
mod open;
mod reader;
mod stable;
mod verified;

pub use config::RocksdbConfig;
pub use open::{compact, open, open_with};
