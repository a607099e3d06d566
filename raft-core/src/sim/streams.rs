//! Snapshots on their way: in parts, on a lane of their own, over connections that break and are made
//! again.
//!
//! The two ends are the ones of the real transports: the parts that a receiver lacks
//! ([`SnapshotParts`]), and the intake that verifies them and says when a stream has become stale
//! ([`IncomingSnapshot`]). Only the connection between them is simulated. A stream waits for nothing
//! that messages wait for, and they not for it.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use super::chance::Chance;
use super::check::{Broken, broken};
use super::cluster::{Cluster, Happening, Own, Way};
use super::machine::Machine;
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::Event;
use crate::consensus::mutant::{Mutant, mutant};
use crate::id::{LogId, LogIndex, NodeId, Term};
use crate::snapshot::{Kept, SnapshotMeta};
use crate::transport::{
    IncomingSnapshot, OutboundSnapshot, SnapshotIntake, SnapshotPart, SnapshotParts,
};

/// All of them.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) chance: Chance,
    open: BTreeMap<u64, Stream>,
    begun: u64,
    /// How many times longer than a message each part takes, while things go wrong.
    pace: u32,
}

/// How far a stream is: what arrives next, at one of its ends.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Offered,
    /// The receiver tells what it has.
    Answered(Kept),
    Part(SnapshotPart),
    AllSent,
}

/// One connection.
#[derive(Debug)]
struct Stream {
    from: NodeId,
    /// The life of the sender.
    life: u64,
    to: NodeId,
    /// The life of the receiver, once it has answered.
    to_life: Option<u64>,
    term: Term,
    meta: SnapshotMeta,
    /// What the snapshot is of, but for the bytes.
    machine: Machine,
    outbound: Option<OutboundSnapshot>,
    parts: Option<SnapshotParts>,
    incoming: Option<IncomingSnapshot>,
    /// Some bytes have arrived.
    has_moved: bool,
}

/// A snapshot takes so many parts at most.
const PARTS_MAX: u64 = 12;

impl Streams {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed, 15);
        let is_throttled = chance.coin();
        let pace = u32::try_from(chance.between(2, 30)).unwrap_or(1);
        Self {
            chance,
            open: BTreeMap::new(),
            begun: 0,
            pace: if is_throttled { pace } else { 1 },
        }
    }

    /// At which node the next thing happens.
    pub(super) fn at_whom(&self, number: u64, stage: &Stage) -> Option<NodeId> {
        let stream = self.open.get(&number)?;
        Some(match stage {
            Stage::Answered(_) => stream.from,
            Stage::Offered | Stage::Part(_) | Stage::AllSent => stream.to,
        })
    }
}

impl Cluster {
    /// Sends the newest snapshot, or as much of it as the receiver lacks.
    pub(super) fn send_snapshot(
        &mut self,
        (from, life): (NodeId, u64),
        to: NodeId,
        term: Term,
        reaches: LogIndex,
    ) {
        self.count("snapshots sent");
        let node = self.nodes.get(&from);
        let newest = node.and_then(|node| node.disk.newest_snapshot());
        let Some(snapshot) = newest
            .filter(|(meta, _)| meta.id().index >= reaches)
            .cloned()
        else {
            let unreadable = Own::SnapshotUnreadable(to, term);
            self.schedule(Duration::ZERO, Happening::Own(from, life, unreadable));
            return;
        };
        if let Some(delay) = self.old_copy(10) {
            // Nobody waits to hear of it.
            let way = Way { from, life: 0, to };
            let copy = Box::new(snapshot.clone());
            self.schedule(delay, Happening::SnapshotArrives(way, term, copy));
        }
        let (meta, machine) = snapshot;
        let data = machine.saved.clone().unwrap_or_default();
        let outbound = OutboundSnapshot {
            term,
            meta: meta.clone(),
            data: Box::new(Cursor::new(data)),
        };
        let stream = Stream {
            from,
            life,
            to,
            to_life: None,
            term,
            meta,
            machine,
            outbound: Some(outbound),
            parts: None,
            incoming: None,
            has_moved: false,
        };
        self.streams.begun += 1;
        let number = self.streams.begun;
        self.streams.open.insert(number, stream);
        self.send_stage(number, Stage::Offered);
    }

    fn send_stage(&mut self, number: u64, stage: Stage) {
        let (low, high) = self.plan.latency;
        let pace = if self.faults_go_on() {
            self.streams.pace
        } else {
            1
        };
        let after = pace * self.streams.chance.duration(low, high);
        self.schedule(after, Happening::Stream(number, stage));
    }

    pub(super) fn stream_goes_on(&mut self, number: u64, stage: Stage) -> Result<(), Broken> {
        if self.is_stream_broken(number) {
            self.break_stream(number);
            return Ok(());
        }
        let Some(mut stream) = self.streams.open.remove(&number) else {
            return Ok(()); // It has ended.
        };
        let next = match stage {
            Stage::Offered => self.on_offer(&mut stream),
            Stage::Answered(kept) => on_answer(&mut stream, kept, &mut self.streams.chance),
            Stage::Part(part) => self.on_part(&mut stream, &part),
            Stage::AllSent => return self.on_all_sent(stream),
        };
        match next {
            Next::Stage(stage) => {
                self.streams.open.insert(number, stream);
                self.send_stage(number, stage);
            }
            Next::End(outcome) => self.end_stream(&stream, outcome),
        }
        Ok(())
    }

    /// Whether the connection is lost before the next thing arrives.
    fn is_stream_broken(&mut self, number: u64) -> bool {
        let Some(stream) = self.streams.open.get(&number) else {
            return false;
        };
        let (from, to) = (stream.from, stream.to);
        let receiver = self.nodes.get(&to);
        let life = receiver
            .filter(|node| node.raft.is_some())
            .map(|node| node.life);
        let is_met = life.is_some() && stream.to_life.is_none_or(|known| life == Some(known));
        if !is_met {
            self.meet(Situation::SnapshotToTheDead);
        }
        let is_linked = !self.network.is_cut(from, to) && !self.network.is_cut(to, from);
        // So often that a whole snapshot fails about as often as the plan says.
        let rate = self.plan.snapshot_failure / 4;
        let fails = self.faults_go_on() && self.streams.chance.happens(rate);
        let life = self
            .streams
            .open
            .get(&number)
            .map_or(0, |stream| stream.life);
        !is_met || !is_linked || fails || !self.lives(from, life)
    }

    /// Both ends learn of it; the receiver keeps what it has.
    fn break_stream(&mut self, number: u64) {
        let Some(stream) = self.streams.open.remove(&number) else {
            return;
        };
        self.count("snapshots lost");
        self.meet(if stream.has_moved {
            Situation::StreamCut
        } else {
            Situation::SnapshotLost
        });
        self.tell(Some(stream.to), Mark::Fault, || {
            format!("the stream of {} from {} breaks", stream.meta, stream.from)
        });
        self.end_stream(&stream, None);
    }

    /// The sender hears how it has ended.
    fn end_stream(&mut self, stream: &Stream, outcome: Option<LogId>) {
        let (low, high) = self.plan.latency;
        let after = self.streams.chance.duration(low, high);
        let told = Own::SnapshotOutcome(stream.to, stream.term, outcome);
        self.schedule(after, Happening::Own(stream.from, stream.life, told));
    }

    /// How far the receiver is, told to its intake.
    fn tell_intake(&self, to: NodeId) {
        let node = self.nodes.get(&to);
        if let Some((node, raft)) = node.and_then(|node| Some((node, node.raft.as_ref()?))) {
            let brief = raft.status_brief();
            node.inbox.node_is_at(brief.term, brief.committed);
        }
    }

    fn on_offer(&mut self, stream: &mut Stream) -> Next {
        let to = stream.to;
        if self.has_no_room(to) {
            return Next::End(None);
        }
        self.tell_intake(to);
        let Some(node) = self.nodes.get_mut(&to) else {
            return Next::End(None);
        };
        let taken = node
            .inbox
            .receive_snapshot(stream.from, stream.term, stream.meta.clone());
        let incoming = match taken {
            Ok(SnapshotIntake::Wanted(incoming)) => incoming,
            Ok(SnapshotIntake::Unneeded) => {
                self.meet(Situation::SnapshotUnneeded);
                return Next::End(Some(stream.meta.id()));
            }
            Err(_) => {
                self.meet(Situation::StreamEndedAsStale);
                return Next::End(None);
            }
        };
        stream.to_life = Some(node.life);
        let kept = incoming.kept();
        let (was_of_former_life, sender) = (node.parts.was_of_former_life(), node.sender);
        node.sender = Some(stream.from);
        stream.incoming = Some(incoming);
        if kept.size > 0 {
            self.count("snapshots resumed");
            self.meet(Situation::StreamResumed);
            if was_of_former_life {
                self.meet(Situation::StreamResumedAfterRestart);
            }
            if sender.is_some_and(|sender| sender != stream.from) {
                self.meet(Situation::StreamResumedByAnother);
            }
        }
        Next::Stage(Stage::Answered(kept))
    }

    fn on_part(&mut self, stream: &mut Stream, part: &SnapshotPart) -> Next {
        if self.has_no_room(stream.to) {
            return Next::End(None);
        }
        if let Some(ends) = self.ends_as_stale(stream) {
            return ends;
        }
        let taken = stream
            .incoming
            .as_mut()
            .map(|incoming| incoming.take(part.offset, &part.data));
        if !matches!(taken, Some(Ok(()))) {
            return Next::End(None); // Another attempt has taken its place.
        }
        stream.has_moved = true;
        self.strike_crash(stream.to);
        if self.streams.chance.coin() {
            let progressed = Own::SnapshotProgressed(stream.to, stream.term);
            let after = self
                .streams
                .chance
                .duration(self.plan.latency.0, self.plan.latency.1);
            self.schedule(after, Happening::Own(stream.from, stream.life, progressed));
        }
        next_part(stream)
    }

    /// Nobody needs it any more, or its sender leads no more.
    fn ends_as_stale(&mut self, stream: &mut Stream) -> Option<Next> {
        self.tell_intake(stream.to);
        let wanted = stream.incoming.as_ref().map(IncomingSnapshot::is_wanted);
        let outcome = match wanted {
            Some(Ok(true)) => return None,
            Some(Ok(false)) => {
                if let Some(incoming) = stream.incoming.take() {
                    incoming.discard();
                }
                Some(stream.meta.id())
            }
            Some(Err(_)) | None => None,
        };
        self.meet(Situation::StreamEndedAsStale);
        self.tell(Some(stream.to), Mark::Fault, || {
            format!(
                "the stream of {} from {} is stale",
                stream.meta, stream.from
            )
        });
        Some(Next::End(outcome))
    }

    fn on_all_sent(&mut self, mut stream: Stream) -> Result<(), Broken> {
        if let Some(Next::End(outcome)) = self.ends_as_stale(&mut stream) {
            self.end_stream(&stream, outcome);
            return Ok(());
        }
        let (to, incoming) = (stream.to, stream.incoming.take());
        let parts = self.nodes.get(&to).map(|node| node.parts.clone());
        let (Some(incoming), Some(parts)) = (incoming, parts) else {
            return Ok(());
        };
        let received = if mutant(Mutant::SnapshotNotVerified) {
            parts.take_unverified()
        } else {
            incoming.complete().ok().and_then(|_| parts.take_finished())
        };
        let Some(bytes) = received else {
            self.count("snapshots not as announced");
            self.end_stream(&stream, None);
            return Ok(());
        };
        if stream.machine.saved.as_ref() != Some(&bytes) {
            let detail = format!("node {to} has received other bytes as {}", stream.meta);
            return broken("a received snapshot is the one that was sent", detail);
        }
        let machine = if self.subject.is_some() {
            let mut machine = stream.machine.clone();
            machine.saved = Some(bytes);
            Some(machine)
        } else {
            stream.machine.decoded(&bytes)
        };
        let Some(machine) = machine else {
            let detail = format!("node {to} has received what is no state as {}", stream.meta);
            return broken("a received snapshot is the one that was sent", detail);
        };
        let Stream {
            from, term, meta, ..
        } = &stream;
        let (from, term, meta) = (*from, *term, meta.clone());
        self.end_stream(&stream, Some(meta.id()));
        if let Some(node) = self.nodes.get_mut(&to) {
            node.disk.keep_snapshot(meta.clone(), machine);
            node.snapshotting.stored(&meta);
        }
        self.step(to, Event::SnapshotReceived { from, term, meta })
    }

    fn has_no_room(&mut self, id: NodeId) -> bool {
        let is_full = self.is_full(id);
        if is_full {
            self.meet(Situation::SnapshotWithoutRoom);
        }
        is_full
    }
}

/// What follows from an arrival.
enum Next {
    Stage(Stage),
    /// The receiver has it, or not.
    End(Option<LogId>),
}

fn on_answer(stream: &mut Stream, kept: Kept, chance: &mut Chance) -> Next {
    let part = stream.meta.size / chance.between(1, PARTS_MAX) + 1;
    let bytes_max = u32::try_from(part).unwrap_or(u32::MAX);
    let outbound = stream.outbound.take();
    match outbound.map(|outbound| outbound.parts(kept, bytes_max)) {
        Some(Ok(parts)) => {
            stream.parts = Some(parts);
            next_part(stream)
        }
        Some(Err(_)) | None => Next::End(None),
    }
}

fn next_part(stream: &mut Stream) -> Next {
    match stream.parts.as_mut().and_then(Iterator::next) {
        Some(Ok(part)) => Next::Stage(Stage::Part(part)),
        Some(Err(_)) => Next::End(None),
        None => Next::Stage(Stage::AllSent),
    }
}
