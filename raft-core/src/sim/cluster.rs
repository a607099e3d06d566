//! The world: nodes, network and clients on one timeline, and the loop that runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::chance::Chance;
use super::check::{Broken, Checks, Futures, broken};
use super::client::Clients;
use super::driver::SimNode;
use super::mishap::Operator;
use super::network::Network;
use super::own::Subject;
use super::plan::Plan;
use super::report::{Report, Violation};
use super::restoring::Restorer;
use super::story::{Arrow, Line, Mark, Story};
use super::streams::{Stage, Streams};
use crate::consensus::{Event, IndexRange, Reader};
use crate::id::{LogId, NodeId, Term};
use crate::membership::{Membership, Priority};
use crate::message::Message;
use crate::sim::machine::Machine;
use crate::snapshot::SnapshotMeta;
use crate::time::Timestamp;

/// A simulated cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) plan: Plan,
    pub(super) now: Timestamp,
    timeline: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
    pub(super) nodes: BTreeMap<NodeId, SimNode>,
    pub(super) network: Network,
    pub(super) operator: Operator,
    pub(super) restorer: Restorer,
    pub(super) clients: Clients,
    pub(super) chance: Chance,
    /// Of the adversary.
    pub(super) strikes: Chance,
    /// Of operators who want snapshots.
    pub(super) asks: Chance,
    pub(super) checks: Checks,
    pub(super) report: Report,
    /// Who began the last change of membership.
    pub(super) changed_by: Option<NodeId>,
    /// Snapshots on their way.
    pub(super) streams: Streams,
    /// How often the nodes were asked for something.
    pub(super) calls: u64,
    /// What the nodes owe an answer to.
    pub(super) futures: Futures,
    /// Machines besides the simulator's own: a user's, or one in sessions.
    pub(super) subject: Option<Box<dyn Subject>>,
    /// The call that shows the life of a seed again.
    call: fn(u64) -> String,
    /// What happened, if somebody will read it.
    story: Option<Story>,
    /// Faults have long ended, and none of these has a reason to campaign.
    pub(super) calm: BTreeSet<NodeId>,
    /// What has happened so far.
    happenings: u64,
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Deliver(Message),
    /// Of one life of a node, and void once that has ended.
    Own(NodeId, u64, Own),
    /// A copy of a whole snapshot, much later.
    SnapshotArrives(Way, Term, Box<(SnapshotMeta, Machine)>),
    /// A snapshot goes on on its way.
    Stream(u64, Stage),
    Restart(NodeId),
    /// A pause may be over.
    Resume(NodeId),
    Faults,
    HealPartition,
    /// Flapping links break or heal, and so many times more.
    Flap(u64),
    /// The operator looks after the group.
    Operator,
    /// Somebody restores a backup.
    RestoreTurn,
    ClientTurn(u64),
    /// A client asks this node to read.
    Ask(u64, NodeId),
    /// A node campaigns without a reason.
    Kick(NodeId),
}

/// What a node brings about for itself.
#[derive(Clone, Debug)]
pub(super) enum Own {
    Wake,
    /// Callers may have waited for long enough.
    Expire,
    Synced,
    /// The state machine does what it was given.
    Work,
    PeerLost(NodeId),
    SnapshotWritten(Box<(SnapshotMeta, Machine)>),
    /// Entries are read now, and the node hears of it so much later.
    Fetch(Reader, IndexRange, usize, Duration),
    /// What was read some time ago.
    Read(Box<Event>),
    /// The receiver of a snapshot has more of it.
    SnapshotProgressed(NodeId, Term),
    /// What became of a snapshot on its way to another node.
    SnapshotOutcome(NodeId, Term, Option<LogId>),
    /// There is no snapshot for this node that can be read.
    SnapshotUnreadable(NodeId, Term),
}

/// The way of a snapshot: from one life of a node to another node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) from: NodeId,
    pub(super) life: u64,
    pub(super) to: NodeId,
}

/// No life takes as many: where this is exceeded, nodes answer each other for ever.
const HAPPENINGS_MAX: u64 = 3_000_000;
/// Lines of its story that a violation shows.
const TRACE_LINES: usize = 400;

impl Cluster {
    pub(super) fn new(plan: Plan) -> Self {
        let ids: Vec<NodeId> = (1..=plan.nodes + plan.spares).map(NodeId::new).collect();
        let is_first = |id: &NodeId| id.get() <= plan.nodes;
        let members = ids.iter().filter(|id| is_first(id));
        let members = members.map(|id| (*id, format!("node-{id}")));
        // One voter at least, each listed once, each with an address.
        let membership = Membership::of_voters(members).unwrap_or_else(|_| Membership::nobody());
        let membership = prioritised(membership, plan.seed);
        let (voters, seed) = (plan.nodes, plan.seed);
        let mut cluster = Self {
            now: Timestamp::ZERO,
            timeline: BTreeMap::new(),
            scheduled: 0,
            nodes: BTreeMap::new(),
            network: Network::new(seed),
            restorer: Restorer::new(seed),
            operator: Operator::new(seed, plan.nodes + plan.spares),
            clients: Clients::new(seed),
            chance: Chance::new(seed, 3),
            strikes: Chance::new(seed, 6),
            asks: Chance::new(seed, 14),
            checks: Checks::default(),
            report: Report {
                nodes: plan.nodes,
                ..Report::default()
            },
            changed_by: None,
            streams: Streams::new(seed),
            calls: 0,
            futures: Futures::default(),
            subject: None,
            call: |seed| format!("raft_core::sim::replay_life({seed})"),
            story: None,
            calm: BTreeSet::new(),
            happenings: 0,
            plan,
        };
        for id in ids {
            // A spare has none, and waits to be added.
            let founding = (id.get() <= voters).then(|| membership.clone());
            let node = SimNode::new(id, &cluster.plan, founding);
            if node.clock.drifts() {
                cluster.count("drifting clocks");
            }
            cluster.nodes.insert(id, node);
            cluster.schedule(Duration::ZERO, Happening::Restart(id));
        }
        for client in 0..cluster.plan.clients {
            cluster.schedule(Duration::ZERO, Happening::ClientTurn(client));
        }
        cluster.schedule(Duration::from_millis(1), Happening::Faults);
        if cluster.plan.mishaps.do_harm() {
            cluster.schedule(Duration::ZERO, Happening::Operator);
        }
        if Restorer::is_at_work(seed) {
            cluster.schedule(Duration::ZERO, Happening::RestoreTurn);
        }
        cluster
    }

    /// The same cluster, with a user's machines.
    pub(super) fn with(self, subject: Box<dyn Subject>) -> Self {
        Self {
            subject: Some(subject),
            ..self
        }
    }

    /// A violation tells this call, which shows it again.
    pub(super) fn shown_by(self, call: fn(u64) -> String) -> Self {
        Self { call, ..self }
    }

    /// Runs to the end. A violation is run again, to tell its story.
    pub(super) fn run(build: impl Fn() -> Self) -> Result<Report, Box<Violation>> {
        let mut cluster = build();
        let Err(found) = cluster.run_guarded() else {
            return Ok(cluster.report);
        };
        match build().run_told(TRACE_LINES).0 {
            Err(told) => Err(told),
            Ok(_) => Err(Box::new(Violation {
                property: "determinism",
                detail: format!(
                    "a second run of the same seed does not show what the first one did ({}: {}): \
                     something uses a clock, chance of its own, or the order of a hashed map",
                    found.property, found.detail
                ),
                ..*found
            })),
        }
    }

    /// Runs to the end, and keeps the last lines of the story.
    pub(super) fn run_told(mut self, lines_max: usize) -> (Result<Report, Box<Violation>>, Story) {
        let mut nodes: Vec<NodeId> = self.nodes.keys().copied().collect();
        if self.plan.mishaps.do_harm() {
            nodes.extend(self.operator.reserve.iter().rev());
        }
        self.story = Some(Story::new(nodes.clone(), lines_max));
        let outcome = self.run_guarded();
        let story = self.story.take();
        let story = story.unwrap_or_else(|| Story::new(nodes, lines_max));
        let outcome = match outcome {
            Ok(()) => Ok(self.report),
            Err(mut violation) => {
                let skipped = story.lines.len().saturating_sub(TRACE_LINES);
                let last = story.lines.iter().skip(skipped);
                violation.trace = last.map(ToString::to_string).collect();
                Err(violation)
            }
        };
        (outcome, story)
    }

    pub(super) fn run_guarded(&mut self) -> Result<(), Box<Violation>> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_phases()));
        let broken = match outcome {
            Ok(Ok(())) => {
                self.report.time = self.now.since(Timestamp::ZERO);
                self.report.committed = self.checks.committed().get();
                self.report.elections = self.checks.elections();
                let network = &self.network;
                for (what, count) in [
                    ("messages lost", network.lost),
                    ("messages repeated", network.repeated),
                    ("messages delayed", network.delayed),
                    ("messages reordered", network.reordered),
                ] {
                    self.report.counts.insert(what, count);
                }
                if self.report.faults() > 0 {
                    self.report.faulty_time = self.plan.length.min(self.report.time);
                }
                if let Some(subject) = &self.subject {
                    let trips = subject.round_trips();
                    self.report.counts.insert("snapshot round trips", trips);
                }
                return Ok(());
            }
            Ok(Err(broken)) => broken,
            Err(panic) => Broken {
                property: "no panic",
                detail: panic_text(&*panic),
            },
        };
        Err(Box::new(Violation {
            seed: self.plan.seed,
            at: self.now.since(Timestamp::ZERO),
            property: broken.property,
            detail: broken.detail,
            trace: Vec::new(),
            again: (self.call)(self.plan.seed),
        }))
    }

    fn run_phases(&mut self) -> Result<(), Broken> {
        let end = Timestamp::ZERO + self.plan.length;
        self.run_until(end)?;
        self.end_faults()?;
        self.recover()?;
        self.stay_calm()?;
        for (id, node) in &self.nodes {
            if let Some(raft) = node.raft.as_ref().filter(|_| node.disk.is_idle()) {
                Checks::knows_its_past(*id, raft, &node.disk)?;
            }
        }
        Ok(())
    }

    /// Lets everything happen that is due before `end`.
    pub(super) fn run_until(&mut self, end: Timestamp) -> Result<(), Broken> {
        while let Some(first) = self.timeline.first_entry()
            && first.key().0 <= end
        {
            self.now = first.key().0;
            self.happenings += 1;
            if self.happenings > HAPPENINGS_MAX {
                let detail = format!("{HAPPENINGS_MAX} things have happened");
                return broken("the life ends", detail);
            }
            let happening = first.remove();
            self.happen(happening)?;
        }
        self.now = end;
        Ok(())
    }

    pub(super) fn schedule(&mut self, after: Duration, happening: Happening) {
        self.schedule_at(self.now + after, happening);
    }

    pub(super) fn schedule_at(&mut self, at: Timestamp, happening: Happening) {
        self.scheduled += 1;
        self.timeline
            .insert((at.max(self.now), self.scheduled), happening);
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.report.counts.entry(what).or_default() += 1;
    }

    pub(super) fn tell(&mut self, node: Option<NodeId>, mark: Mark, text: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.tell(Line {
                at: self.now,
                node,
                mark,
                text: text(),
            });
        }
    }

    /// A message sets out: to arrive after `after`, or never.
    pub(super) fn draw(&mut self, message: &Message, after: Option<Duration>) {
        if let Some(story) = &mut self.story {
            story.draw(Arrow {
                from: message.from,
                to: message.to,
                sent: self.now,
                arrives: after.map(|after| self.now + after),
                name: message.body.name(),
                text: format!("in term {}: {:?}", message.term, message.body),
            });
        }
    }
}

/// In some lives some are wanted as leader more than others.
fn prioritised(mut membership: Membership, seed: u64) -> Membership {
    let mut chance = Chance::new(seed, 8);
    if chance.below(3) > 0 {
        return membership;
    }
    let nodes: Vec<NodeId> = membership.members().keys().copied().collect();
    for node in nodes {
        let priority = Priority::new(u8::try_from(50 * chance.below(4)).unwrap_or(0));
        // It is a member.
        membership = membership
            .clone()
            .with_priority(node, priority)
            .unwrap_or(membership);
    }
    membership
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
