//! Backups of one group, and their way through the log of another.

use bytes::Bytes;
use raft_core::consensus::{Conditions, Event};
use raft_core::entry::{Payload, Sealed};
use raft_core::id::{LogId, NodeId};
use raft_core::restoration::Restoration;
use raft_core::snapshot::SnapshotMeta;

use super::cluster::Cluster;
use super::command::{Command, to_usize};

/// A backup, and how far its restoration is.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    kept: Option<(SnapshotMeta, Bytes)>,
    begun: Option<LogId>,
    sent: usize,
}

/// Bytes of a piece, unless a story says otherwise.
const PIECE: u64 = 4;

impl Backups {
    /// `backup 1`: keeps the newest snapshot of node 1.
    pub(crate) fn keep(&mut self, world: &mut Cluster, node: NodeId) {
        let newest = world.member(node).disk.newest_snapshot();
        let snapshot = newest.expect("a snapshot comes first").clone();
        let (id, size) = (snapshot.meta.id(), snapshot.meta.size);
        self.kept = Some((snapshot.meta, snapshot.bytes));
        world.see(format!(
            "the backup is snapshot {id} of node {node}, {size} bytes"
        ));
    }

    /// `restore 1 begin|piece|end|abort`: proposes the next part, as the node that restores does.
    /// With `late` it does not care for the term in which it has begun.
    pub(crate) fn restore(&mut self, world: &mut Cluster, command: &Command<'_>) {
        let (meta, bytes) = self.kept.clone().expect("a backup comes first");
        let begun = self.begun.unwrap_or_default();
        let begin = begun.index;
        let part = match command.word(1) {
            "begin" => Restoration::Begin {
                size: meta.size,
                checksum: meta.checksum,
            },
            "piece" => {
                let limit = to_usize(command.number("bytes").unwrap_or(PIECE));
                let rest = bytes.slice(self.sent..);
                let mut data = rest.slice(..rest.len().min(limit));
                let offset = self.sent as u64;
                self.sent += data.len();
                if command.words.contains(&"altered") {
                    data = data.iter().map(|byte| byte ^ 1).collect();
                }
                Restoration::Chunk {
                    begin,
                    offset,
                    data,
                }
            }
            "end" => Restoration::End {
                begin,
                time: meta.header.time,
            },
            "abort" => Restoration::Abort { begin },
            other => panic!("what is a restoration's {other}?"),
        };
        let is_first = matches!(part, Restoration::Begin { .. });
        let is_bound = !is_first && !command.words.contains(&"late");
        let conditions = Conditions {
            expected_term: is_bound.then_some(begun.term),
            forward: false,
        };
        let sealed = Sealed::new(Payload::restoration(&part));
        world.answer = None;
        world.step(
            command.node(),
            Event::ProposedUnder(conditions, vec![sealed]),
        );
        if is_first && let Some(Ok(id)) = world.answer.take() {
            self.begun = Some(id);
            self.sent = 0;
        }
    }
}
