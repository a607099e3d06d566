//! Turns the words of a configuration into backends: the only place of the programs that names the
//! adapters. Each is behind the Cargo feature of its name, so that one compiles only what one uses.

mod store;
mod transport;

pub use store::{OpenError, StoreSettings, detect};
pub use transport::{TransportSettings, bind};

/// What a word is answered with whose adapter was not compiled.
#[cfg(not(all(
    feature = "redb",
    feature = "rocksdb",
    feature = "tls",
    feature = "quic"
)))]
fn not_built(word: &str, feature: Option<&str>) -> crate::failure::Failure {
    crate::failure::Failure::new(crate::config::not_built(word, feature.unwrap_or(word)))
}
