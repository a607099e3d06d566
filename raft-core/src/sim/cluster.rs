//! The world: nodes, network and clients on one timeline, and the loop that runs it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::chance::Chance;
use super::check::{Broken, Checks};
use super::client::Clients;
use super::driver::SimNode;
use super::network::Network;
use super::plan::Plan;
use super::report::{Report, Violation};
use crate::consensus::{IndexRange, Reader};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{ChainLink, LogId, NodeId, Term};
use crate::membership::Membership;
use crate::message::Message;
use crate::sim::machine::Machine;
use crate::snapshot::SnapshotMeta;
use crate::time::{ClusterTime, Timestamp};

/// A simulated cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) plan: Plan,
    pub(super) now: Timestamp,
    timeline: BTreeMap<(Timestamp, u64), Happening>,
    scheduled: u64,
    pub(super) nodes: BTreeMap<NodeId, SimNode>,
    pub(super) network: Network,
    pub(super) clients: Clients,
    pub(super) chance: Chance,
    pub(super) checks: Checks,
    pub(super) report: Report,
    /// The last steps, if somebody will read them.
    trace: Option<VecDeque<String>>,
}

/// Something that happens at a time.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Deliver(Message),
    /// Of one life of a node, and void once that has ended.
    Own(NodeId, u64, Own),
    SnapshotArrives(Way, Term, Box<(SnapshotMeta, Machine)>),
    Restart(NodeId),
    /// A pause may be over.
    Resume(NodeId),
    Faults,
    HealPartition,
    ClientTurn(u64),
}

/// What a node brings about for itself.
#[derive(Clone, Debug)]
pub(super) enum Own {
    Wake,
    Synced,
    Apply(Vec<Entry>),
    Restore(SnapshotMeta),
    TakeSnapshot,
    PeerLost(NodeId),
    SnapshotWritten(Box<(SnapshotMeta, Machine)>),
    Fetch(Reader, IndexRange, usize),
    /// What became of a snapshot on its way to another node.
    SnapshotOutcome(NodeId, Option<LogId>),
}

/// The way of a snapshot: from one life of a node to another node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) from: NodeId,
    pub(super) life: u64,
    pub(super) to: NodeId,
}

const TRACE_LINES: usize = 400;

impl Cluster {
    pub(super) fn new(plan: Plan) -> Self {
        let ids: Vec<NodeId> = (1..=plan.nodes + plan.spares).map(NodeId::new).collect();
        let is_first = |id: &NodeId| id.get() <= plan.nodes;
        let members = ids.iter().filter(|id| is_first(id));
        let members = members.map(|id| (*id, format!("node-{id}")));
        // One voter at least, each listed once, each with an address.
        let membership = Membership::of_voters(members).unwrap_or_else(|_| Membership::nobody());
        let first = Payload::membership(membership.clone()).map(|payload| {
            let sealed = Sealed::new(payload);
            Entry::new(ChainLink::ORIGIN, Term::new(1), ClusterTime::ZERO, sealed)
        });
        let first: Vec<Entry> = first.into_iter().collect();
        let (voters, seed) = (plan.nodes, plan.seed);
        let mut cluster = Self {
            now: Timestamp::ZERO,
            timeline: BTreeMap::new(),
            scheduled: 0,
            nodes: BTreeMap::new(),
            network: Network::new(seed),
            clients: Clients::new(seed),
            chance: Chance::new(seed, 3),
            checks: Checks::default(),
            report: Report {
                nodes: plan.nodes,
                ..Report::default()
            },
            trace: None,
            plan,
        };
        for id in ids {
            // A spare starts with nothing, and waits to be added.
            let log = if id.get() <= voters {
                first.clone()
            } else {
                Vec::new()
            };
            let node = SimNode::new(id, &cluster.plan, log);
            cluster.nodes.insert(id, node);
            cluster.schedule(Duration::ZERO, Happening::Restart(id));
        }
        for client in 0..cluster.plan.clients {
            cluster.schedule(Duration::ZERO, Happening::ClientTurn(client));
        }
        cluster.schedule(Duration::from_millis(1), Happening::Faults);
        cluster
    }

    /// Runs to the end. A violation is run again, to tell its story.
    pub(super) fn run(self) -> Result<Report, Box<Violation>> {
        let plan = self.plan.clone();
        match self.run_guarded() {
            Ok(report) => Ok(report),
            Err(found) => {
                let trace = Some(VecDeque::new());
                let again = Self {
                    trace,
                    ..Self::new(plan)
                };
                match again.run_guarded() {
                    Err(told) => Err(told),
                    Ok(_) => Err(Box::new(Violation {
                        property: "determinism",
                        detail: format!("a second run does not show: {}", found.detail),
                        ..*found
                    })),
                }
            }
        }
    }

    fn run_guarded(mut self) -> Result<Report, Box<Violation>> {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run_phases()));
        let broken = match outcome {
            Ok(Ok(())) => {
                self.report.time = self.now.since(Timestamp::ZERO);
                self.report.committed = self.checks.committed().get();
                self.report.elections = self.checks.elections();
                return Ok(self.report);
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
            trace: self.trace.take().map(Vec::from).unwrap_or_default(),
        }))
    }

    fn run_phases(&mut self) -> Result<(), Broken> {
        let end = Timestamp::ZERO + self.plan.length;
        self.run_until(end)?;
        self.end_faults();
        self.recover()
    }

    /// Lets everything happen that is due before `end`.
    pub(super) fn run_until(&mut self, end: Timestamp) -> Result<(), Broken> {
        while let Some(first) = self.timeline.first_entry()
            && first.key().0 <= end
        {
            self.now = first.key().0;
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

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{} {}", self.now, line()));
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}
