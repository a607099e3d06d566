//! The programs, tested from outside: as real processes, with real files and sockets.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]
#![expect(
    clippy::print_stdout,
    reason = "what a test prints is shown when it fails"
)]

mod bad_input;
mod commands;
mod common;
mod demo;
#[cfg(any(feature = "redb", feature = "rocksdb"))]
mod inspect;
#[cfg(any(feature = "redb", feature = "rocksdb"))]
mod kill_and_restart;
#[cfg(any(feature = "tcp", feature = "quic"))]
mod matrix;
mod readme;
mod recovery;
