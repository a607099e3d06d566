//! Bytes on a connection: frames, the handshake, and the messages within.
//!
//! Everything is a [`Frame`]: a fixed header, a small control part and a raw tail.
//!
//! ```text
//!  0       4   5   6       8               16      20      24      28
//!  | magic | v | k | flags | group         | c len | t len | check | control ... | tail ...
//! ```
//!
//! | field | bytes | meaning |
//! |---|---|---|
//! | magic | 4 | [`MAGIC`]: whoever sends something else is no peer of ours |
//! | v | 1 | layout of the frame, [`FRAME_VERSION`] |
//! | k | 1 | [`FrameKind`] |
//! | flags | 2 | must be zero |
//! | group | 8 | the Raft group that the frame concerns |
//! | c len, t len | 4 + 4 | bytes of the control part and of the tail |
//! | check | 4 | crc32c of the 24 bytes before it and of the control part |
//!
//! Numbers are little-endian. The control part is one value of [`crate::codec`]. The tail of a
//! message is the records of its entries as they are stored ([`crate::entry`]), each with checksums
//! of its own; the tail of a snapshot's chunk is covered by a checksum in its control part. So no
//! byte of a frame can change unnoticed.
//!
//! Nothing here reads or writes: transports do. Every decoder is a plain function of bytes, returns
//! an error for any input whatever, and allocates in proportion to the bytes that did arrive.
//!
//! **Versions.** The header and the first bytes of [`Hello`] never change. What else may change is
//! announced by the protocol range in the hello; both ends use the highest protocol they share.

mod frame;
mod handshake;
mod message;
mod out;
mod snapshot;

pub use frame::{
    FRAME_HEADER_BYTES, FRAME_VERSION, Frame, FrameError, FrameKind, FrameLimits, MAGIC,
};
pub use handshake::{
    HANDSHAKE_LIMITS, Hello, Lane, PROTOCOL_MAX, PROTOCOL_MIN, Refusal, RefusalReason,
};
pub use out::OutBuffer;
pub use snapshot::{SnapshotChunk, SnapshotOffer, SnapshotOutcome};
