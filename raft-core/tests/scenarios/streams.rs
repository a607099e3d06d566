//! Snapshots that arrive in parts, over connections that break.
//!
//! Both ends are the library's: the parts that a receiver lacks, and the intake that verifies them.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use raft_core::consensus::Event;
use raft_core::id::NodeId;
use raft_core::snapshot::SnapshotMeta;
use raft_core::transport::{
    Inbound, IncomingSnapshot, OutboundSnapshot, SnapshotIntake, SnapshotParts,
};

use super::cluster::Cluster;
use super::command::Command;
use super::machine::Snapshot;
use super::print::Parcel;

/// The streams that stand still, by sender and receiver.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: BTreeMap<(NodeId, NodeId), Stream>,
}

/// One connection.
#[derive(Debug)]
struct Stream {
    parcel: Parcel,
    meta: SnapshotMeta,
    parts: SnapshotParts,
    incoming: IncomingSnapshot,
}

/// How a stream has ended.
enum End {
    /// The receiver has everything.
    Arrived,
    /// It needs nothing.
    Unneeded,
    /// The connection is gone, for this reason.
    Broken(String),
}

/// Bytes of a part.
const PART: u32 = 4;

impl Streams {
    /// `stream 1 2 [parts=3] [rest]`: node 1 sends its snapshot to node 2, part by part. After so
    /// many parts the connection breaks or, with `open`, stands still until the next `stream`.
    pub(crate) fn go_on(&mut self, world: &mut Cluster, command: &Command<'_>) {
        let from = command.node();
        let to = command.nodes(1).into_iter().next().expect("a receiver");
        let stream = match self.open.remove(&(from, to)) {
            Some(stream) => Some(stream),
            None => connect(world, from, to),
        };
        let Some(mut stream) = stream else {
            return;
        };
        let mut left = command.number("parts").unwrap_or(u64::MAX);
        let end = loop {
            if left == 0 && command.words.contains(&"open") {
                self.open.insert((from, to), stream);
                return;
            }
            if left == 0 {
                break End::Broken("the connection breaks".to_owned());
            }
            left -= 1;
            if let Some(end) = stream.next(world, to) {
                break end;
            }
        };
        stream.end(world, (from, to), end);
    }
}

/// The sender offers its snapshot, and the receiver says what it has of it.
fn connect(world: &mut Cluster, from: NodeId, to: NodeId) -> Option<Stream> {
    let is_it = |parcel: &Parcel| {
        matches!(parcel, Parcel::Snapshot { .. }) && (parcel.from(), parcel.to()) == (from, to)
    };
    let at = world.pool.iter().position(is_it);
    let parcel = world.pool.remove(at.expect("a snapshot is on its way"));
    let Parcel::Snapshot { term, snapshot, .. } = parcel.clone() else {
        return None;
    };
    let Snapshot { meta, bytes, .. } = snapshot;
    tell_intake(world, to);
    let offered = world.member(to).intake.as_ref().map(|(inbox, _)| {
        let taken = inbox.receive_snapshot(from, term, meta.clone());
        taken.map_err(|error| error.to_string())
    });
    let incoming = match offered {
        Some(Ok(SnapshotIntake::Wanted(incoming))) => incoming,
        Some(Ok(SnapshotIntake::Unneeded)) => {
            world.see(format!("{to}: has all of it"));
            let last = meta.id();
            world.step(from, Event::SnapshotSent { to, term, last });
            return None;
        }
        Some(Err(error)) => {
            world.see(format!("{to}: refuses it: {error}"));
            world.lose(&parcel);
            world.drain();
            return None;
        }
        None => {
            world.see(format!("{to}: is down"));
            world.lose(&parcel);
            world.drain();
            return None;
        }
    };
    let kept = incoming.kept();
    world.see(format!("{to}: has {} of {} bytes", kept.size, meta.size));
    let outbound = OutboundSnapshot {
        term,
        meta: meta.clone(),
        data: Box::new(Cursor::new(bytes)),
    };
    let parts = outbound.parts(kept, PART).expect("memory can be read");
    Some(Stream {
        parcel,
        meta,
        parts,
        incoming,
    })
}

/// The intake knows how far its node is.
fn tell_intake(world: &mut Cluster, node: NodeId) {
    let Some((term, committed)) = world.raft(node).map(|raft| raft.horizon()) else {
        return;
    };
    if let Some((inbox, _)) = &world.member(node).intake {
        inbox.node_is_at(term, committed);
    }
}

impl Stream {
    /// The next part arrives. The end, if it is that.
    fn next(&mut self, world: &mut Cluster, to: NodeId) -> Option<End> {
        if world.raft(to).is_none() {
            return Some(End::Broken(format!("{to} is down")));
        }
        tell_intake(world, to);
        match self.incoming.is_wanted() {
            Ok(true) => {}
            Ok(false) => return Some(End::Unneeded),
            Err(error) => return Some(End::Broken(error.to_string())),
        }
        let Some(part) = self.parts.next() else {
            return Some(End::Arrived);
        };
        let part = part.expect("memory can be read");
        if let Err(error) = self.incoming.take(part.offset, &part.data) {
            return Some(End::Broken(error.to_string()));
        }
        let end = part.offset + part.data.len() as u64;
        world.see(format!("{to}: takes bytes {}..{end}", part.offset));
        None
    }

    /// Both ends learn how it went. What has arrived of a broken one is kept.
    fn end(self, world: &mut Cluster, (from, to): (NodeId, NodeId), end: End) {
        let Parcel::Snapshot { term, .. } = self.parcel else {
            return;
        };
        let last = self.meta.id();
        match end {
            End::Broken(reason) => {
                world.see(format!("{from} -> {to} the stream ends: {reason}"));
                drop(self.incoming);
                world.lose(&self.parcel);
                world.drain();
            }
            End::Unneeded => {
                world.see(format!(
                    "{from} -> {to} the stream ends: it is not needed any more"
                ));
                self.incoming.discard();
                world.step(from, Event::SnapshotSent { to, term, last });
            }
            End::Arrived => match self.incoming.finish() {
                Ok(()) => {
                    world.see(format!("{to}: has all {} bytes", self.meta.size));
                    arrived(world, to);
                    world.step(from, Event::SnapshotSent { to, term, last });
                }
                Err(error) => {
                    world.see(format!("{from} -> {to} the stream ends: {error}"));
                    world.lose(&self.parcel);
                    world.drain();
                }
            },
        }
    }
}

/// The snapshot is durable: the node hears of it through its inbox.
fn arrived(world: &mut Cluster, to: NodeId) {
    let member = world.member(to);
    let (_, receiver) = member.intake.as_mut().expect("the node is up");
    let told = receiver
        .control
        .try_recv()
        .expect("the intake tells its node");
    let Inbound::SnapshotReceived { from, term, meta } = told else {
        panic!("the intake tells of a snapshot, not {told:?}");
    };
    let snapshots = member.disk.arriving.open().snapshots;
    let (_, mut data) = snapshots.open(meta.id()).expect("it is there");
    let mut bytes = Vec::new();
    data.read_to_end(&mut bytes).expect("memory can be read");
    member.disk.keep_snapshot(Snapshot {
        meta: meta.clone(),
        bytes: bytes.into(),
        is_spoilt: false,
    });
    world.step(to, Event::SnapshotReceived { from, term, meta });
}
