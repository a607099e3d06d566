//! The search: breadth first, so that the first violation has a shortest trace.

use super::action::{Action, KINDS, Told, What, place_of};
use super::bounds::{Bounds, NODES_MAX, Spent};
use super::facts::{check_quorum, note};
use super::node::Node;
use super::parcels::{NOTHING, Parcel, Parcels};
use super::report::{End, Progress, Report, Violation};
use super::table::{Id, Table};
use super::turns::{Outcome, Turns};
use super::world::World;
use crate::consensus::RoleName;
use crate::id::{ChainLink, NodeId};
use crate::message::{Body, Message};
use crate::sim::check::{Broken, Checks, Held};

/// Everything that is known of the states met so far.
#[derive(Debug)]
pub(super) struct Search {
    bounds: Bounds,
    turns: Turns,
    parcels: Parcels,
    checks: Table<Checks>,
    /// What checks and new facts lead to.
    noted: Table<(Id, Id)>,
    noted_to: Vec<Id>,
    worlds: Table<World>,
    /// From which state each was first reached; the first from itself.
    parents: Vec<Id>,
    transitions: u64,
    actions: [u64; KINDS.len()],
    elections_most: u64,
}

/// A property that an action breaks in a state.
struct Fall {
    world: Id,
    action: Option<Action>,
    broken: Broken,
}

/// How often progress is told, in states that were extended.
const PROGRESS_EVERY: u32 = 1 << 14;

impl Search {
    pub(super) fn new(bounds: &Bounds) -> Result<Self, Broken> {
        let bounds = Bounds {
            nodes: bounds.nodes.clamp(1, NODES_MAX),
            ..bounds.clone()
        };
        let mut search = Self {
            turns: Turns::default(),
            parcels: Parcels::new(),
            checks: Table::default(),
            noted: Table::default(),
            noted_to: Vec::new(),
            worlds: Table::default(),
            parents: Vec::new(),
            transitions: 0,
            actions: [0; KINDS.len()],
            elections_most: 0,
            bounds,
        };
        let first = search.first_world()?;
        search.worlds.number(first);
        search.parents.push(0);
        Ok(search)
    }

    fn first_world(&mut self) -> Result<World, Broken> {
        let start = self.bounds.start;
        let (nodes, checks) = start.nodes(&self.bounds)?;
        let mut world = World {
            nodes: [0; NODES_MAX as usize],
            parcels: NOTHING,
            facts: self.checks.number(checks).0,
            spent: Spent::default(),
            met: match start.is_uniform(&self.bounds) {
                true => 0,
                false => self.bounds.nodes,
            },
        };
        for (place, node) in (0..self.bounds.nodes).zip(nodes) {
            world.set_node(place, self.turns.number(node));
        }
        Ok(world)
    }

    /// Searches until there is nothing more, or as far as was asked for.
    pub(super) fn run(mut self, tell: &mut dyn FnMut(Progress)) -> Result<Report, Box<Violation>> {
        let (mut depth, mut level) = (0, 0..1);
        let end = loop {
            if depth == self.bounds.depth {
                break End::Depth;
            }
            let states = self.worlds.len();
            for world in level.clone() {
                if let Err(fall) = self.extend(world) {
                    return Err(Box::new(self.violation(fall)));
                }
                if world % PROGRESS_EVERY == 0 {
                    let states = self.worlds.len();
                    tell(Progress { depth, states });
                }
                if self.worlds.len() > self.bounds.states_max {
                    return Ok(self.report(depth, End::CutOff));
                }
            }
            if self.worlds.len() == states {
                break End::Complete;
            }
            level = level.end..Id::try_from(self.worlds.len()).unwrap_or(Id::MAX);
            depth += 1;
        };
        Ok(self.report(depth, end))
    }

    /// Tries everything that can happen in a state.
    fn extend(&mut self, id: Id) -> Result<(), Fall> {
        let Some(world) = self.worlds.get(id).copied() else {
            return Ok(());
        };
        for action in self.actions_in(&world) {
            let next = self.after(&world, action).map_err(|broken| Fall {
                world: id,
                action: Some(action),
                broken,
            })?;
            let Some(next) = next else {
                continue;
            };
            self.transitions += 1;
            if let Some(count) = self.actions.get_mut(action.what.kind()) {
                *count += 1;
            }
            if self.worlds.number(next).1 {
                self.parents.push(id);
            }
        }
        Ok(())
    }

    fn actions_in(&self, world: &World) -> Vec<Action> {
        let mut actions = Vec::new();
        let node = |id| self.turns.node(id);
        world.actions(&self.bounds, &self.parcels, node, &mut actions);
        actions
    }

    /// The state after an action; none if it changes nothing.
    fn after(&mut self, world: &World, action: Action) -> Result<Option<World>, Broken> {
        let mut next = *world;
        self.turn(&mut next, action)?;
        if next == *world {
            return Ok(None);
        }
        if action.what == What::Timeout && !self.bounds.pre_votes {
            self.poll(world, &mut next, action.actor)?;
        }
        next.spend(action, &self.bounds);
        Ok(Some(next))
    }

    /// One node takes something in, and what it sends is on its way.
    fn turn(&mut self, world: &mut World, action: Action) -> Result<Outcome, Broken> {
        let Action { actor, what } = action;
        let before = world.node(actor);
        let outcome = self
            .turns
            .take(before, what, &self.bounds, &mut self.parcels)?;
        world.set_node(actor, outcome.node);
        for parcel in &outcome.sent {
            world.parcels = self.parcels.with(world.parcels, *parcel);
        }
        if let Some(facts) = outcome.facts {
            world.facts = self.note(world.facts, outcome.node, facts)?;
            if outcome.decides {
                self.check_quorums(world, outcome.node, facts)?;
            }
        }
        Ok(outcome)
    }

    fn note(&mut self, checks: Id, node: Id, facts: Id) -> Result<Id, Broken> {
        if let Some(known) = self.noted.find(&(checks, facts))
            && let Some(after) = self.noted_to.get(usize::try_from(known).unwrap_or(0))
        {
            return Ok(*after);
        }
        let mut after = self.checks.get(checks).cloned().unwrap_or_default();
        if let Some(node) = self.turns.node(node) {
            note(&mut after, node, self.turns.facts(facts))?;
        }
        self.elections_most = self.elections_most.max(after.elections());
        let (after, _) = self.checks.number(after);
        self.noted.number((checks, facts));
        self.noted_to.push(after);
        Ok(after)
    }

    fn check_quorums(&self, world: &World, node: Id, facts: Id) -> Held {
        let Some(node) = self.turns.node(node) else {
            return Ok(());
        };
        let holds = |voter: &NodeId, link: ChainLink| {
            let place = place_of(*voter, &self.bounds);
            let voter = place.and_then(|place| self.turns.node(world.node(place)));
            voter.is_some_and(|voter| voter.durable().holds(link))
        };
        let mut facts = self.turns.facts(facts).iter();
        facts.try_for_each(|fact| check_quorum(node, fact, holds))
    }

    /// The pre-votes that a node has just asked for are answered at once: everybody is asked, then
    /// those who would vote for it are heard. Refusals travel like other messages.
    fn poll(&mut self, before: &World, world: &mut World, actor: u8) -> Held {
        let asked = self.take_back(before, world, |body| matches!(body, Body::PreVote { .. }));
        for question in asked {
            let to = self.parcels.addressee(question);
            let Some(voter) = to.and_then(|to| place_of(to, &self.bounds)) else {
                continue;
            };
            let unasked = *world;
            let action = |actor, parcel| Action {
                actor,
                what: What::Arrives(parcel),
            };
            self.turn(world, action(voter, question))?;
            let is_grant = |body: &Body| matches!(body, Body::PreVoteReply { granted: true });
            for grant in self.take_back(&unasked, world, is_grant) {
                self.turn(world, action(actor, grant))?;
            }
        }
        Ok(())
    }

    /// Takes those parcels off the way that were sent since `before`, the oldest first.
    fn take_back(
        &mut self,
        before: &World,
        world: &mut World,
        is_wanted: impl Fn(&Body) -> bool,
    ) -> Vec<Id> {
        let known: Vec<Id> = self.parcels.iter(before.parcels).collect();
        let mut sent: Vec<Id> = self.parcels.iter(world.parcels).collect();
        sent.reverse();
        let is_new = |parcel: &Id| !known.contains(parcel);
        let wanted: Vec<Id> = sent
            .iter()
            .copied()
            .filter(is_new)
            .filter(|parcel| match self.parcels.get(*parcel) {
                Some(Parcel::Message(Message { body, .. })) => is_wanted(body),
                Some(Parcel::Snapshot { .. } | Parcel::SnapshotArrived { .. }) | None => false,
            })
            .collect();
        sent.retain(|parcel| !wanted.contains(parcel));
        world.parcels = sent
            .into_iter()
            .fold(NOTHING, |set, parcel| self.parcels.with(set, parcel));
        wanted
    }

    fn report(&self, depth: u32, end: End) -> Report {
        let (node_states, turns) = self.turns.counts();
        let committed = (0..self.checks.len()).filter_map(|id| {
            let checks = self.checks.get(Id::try_from(id).ok()?)?;
            Some(checks.committed().get())
        });
        Report {
            bounds: self.bounds.clone(),
            states: self.worlds.len(),
            transitions: self.transitions,
            depth,
            end,
            node_states,
            turns,
            messages: self.parcels.len(),
            elections_most: self.elections_most,
            committed_most: committed.max().unwrap_or(0),
            actions: KINDS.into_iter().zip(self.actions).collect(),
            bytes: self.turns.bytes()
                + self.parcels.bytes()
                + self.worlds.bytes()
                + self.noted.bytes()
                + self.parents.capacity() * size_of::<Id>(),
        }
    }

    fn violation(&mut self, fall: Fall) -> Violation {
        let Fall {
            world,
            action,
            broken,
        } = fall;
        let mut path = vec![world];
        while let Some(first) = path.last().copied()
            && let Some(parent) = self.parents.get(usize::try_from(first).unwrap_or(0))
            && *parent != first
        {
            path.push(*parent);
        }
        path.reverse();
        let pairs = path.iter().zip(path.iter().skip(1));
        let mut trace: Vec<String> = pairs.map(|(from, to)| self.told(*from, *to)).collect();
        trace.extend(action.map(|action| Told(action, &self.parcels).to_string()));
        Violation {
            property: broken.property,
            detail: broken.detail,
            trace,
        }
    }

    /// What led from one state to the next, and what its actor is then.
    fn told(&mut self, from: Id, to: Id) -> String {
        let worlds = (self.worlds.get(from).copied(), self.worlds.get(to).copied());
        let (Some(before), Some(after)) = worlds else {
            return String::new();
        };
        let mut actions = self.actions_in(&before).into_iter();
        let leads_there = |action: &Action| matches!(self.after(&before, *action), Ok(Some(next)) if next == after);
        let Some(action) = actions.find(leads_there) else {
            return String::new();
        };
        let node = self.turns.node(after.node(action.actor));
        let state = node.map(state_of).unwrap_or_default();
        format!("{}. {state}", Told(action, &self.parcels))
    }
}

/// A node's state, on the rest of a line.
fn state_of(node: &Node) -> String {
    let brief = node.raft.status_brief();
    let (id, term, role) = (node.id, brief.term, role_of(brief.role));
    let ids: Vec<String> = node
        .raft
        .log_ids()
        .iter()
        .map(ToString::to_string)
        .collect();
    let (log, committed) = (ids.join(" "), brief.committed);
    let unsynced = match node.unsynced() {
        0 => String::new(),
        count => format!(", {count} unsynced"),
    };
    format!("Now {id} is {role} of term {term}: log {log}, committed {committed}{unsynced}")
}

const fn role_of(role: RoleName) -> &'static str {
    role.as_str()
}
