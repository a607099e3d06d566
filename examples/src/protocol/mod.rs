//! What clients and servers say to each other: requests and answers with a number each, so that
//! many are on the way at once on one connection.
//!
//! A client opens with [`GREETING`]. Then both sides send frames (see [`Frame`]): a small head,
//! encoded by [`raft_core::codec`], and a body, which is a value as it is.

mod frame;
mod read;
mod report;

pub use frame::{Body, Frame, Frames, Outbox, Queued};
pub use read::Freshness;
pub use report::{DigestReport, MemberReport, NodeReport};

use serde::{Deserialize, Serialize};

/// The first bytes of a connection: what is spoken, and its version.
pub const GREETING: &[u8; 8] = b"RAFTKV/2";

/// A request's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the client; the answer has the same.
    pub number: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Set this key to the frame's body. Only the leader does it.
    Put {
        /// The key.
        key: String,
    },
    /// Remove this key. Only the leader does it.
    Delete {
        /// The key.
        key: String,
    },
    /// The value. Any node answers.
    Get {
        /// The key.
        key: String,
        /// How new it has to be.
        freshness: Freshness,
    },
    /// How the node is. Answered at once, even without a leader.
    Status,
    /// The digest of the node's state, after everything that was acknowledged before. Any node
    /// answers.
    Digest,
    /// Hand the leadership over. Only the leader does it.
    Transfer {
        /// To this node, or to the one that suits best.
        to: Option<u64>,
    },
}

/// An answer's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The request's number.
    pub number: u64,
    /// The outcome.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The change is committed and applied.
    Changed {
        /// The entry's index.
        index: u64,
        /// Whether the key was there before.
        existed: bool,
    },
    /// The key has the value in the frame's body.
    Value,
    /// The key is not there.
    Absent,
    /// How the node is.
    Status(NodeReport),
    /// The digest of the node's state.
    Digest(DigestReport),
    /// This node leads now.
    Transferred {
        /// The node.
        leader: u64,
    },
    /// Nothing was done: another node leads, or none.
    NotLeader {
        /// Where clients reach the leader, if it is known.
        leader: Option<String>,
    },
    /// Nothing was done, for a reason that will pass: ask again.
    NotNow {
        /// Why.
        reason: String,
    },
    /// Nothing was done, and asking again will not help.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// The change may have been made, or may yet be made, or never.
    Unknown {
        /// Why.
        reason: String,
    },
}
