//! The commands of the stories.
//!
//! Nodes are numbers; a list of them is `1,3` or `1..3`. `quiet` at the end of a command hides what
//! it shows, but for what clients then do.
//!
//! | command | what happens |
//! |---|---|
//! | `nodes 1..3 [lives=unknown] [priority=1:50,2:0] [disk=instant] [machine=slow\|durable\|sessions] [reader=slow\|slowest] [snapshots=fail\|in-parts] [FIELD=NUMBER]` | begins a new world: creates the group and starts it, by default as if each had met the others; fields are those of the configuration |
//! | `load 1 terms=1,1,4 [term=5] [vote=2] [epoch=1]` | starts node 1 anew on a log with entries of these terms, or on an empty disk (`terms=none`) |
//! | `campaign 1`, `elect 1` | asks node 1 for an election; and lets it win |
//! | `propose 1 a b [by=leader] [term=2]` | proposes commands at node 1, which sends them on to its leader; only in term 2 |
//! | `change 1 voter=4 learner=5 promote=4 demote=2 remove=3 [since=1.1]`, `change 1 abort` | asks node 1 to change the membership |
//! | `change 1 readdress=2`, `change 1 priority=2:50` | node 2 is reached at another address from now on, or has another priority |
//! | `transfer 1 [to=2]` | asks node 1 to hand leadership over, to the best without a target |
//! | `read 1 [lease] [at=5] [lag=100]` | asks node 1 for a linearizable read, by lease if there is one; or for one of entry 5, or of what was committed 100 ms ago |
//! | `deliver [KIND] [from=1] [to=2,3] [count=1]` | delivers what is on its way now, in the order it was sent |
//! | `drop`, `duplicate`, `hold` | does that to the same choice of messages; `release` lets the held ones go on |
//! | `block KIND`, `unblock` | loses every message of this kind from now on, until then |
//! | `persist 1,2 [count=1]` | makes the oldest writes durable, without a count all |
//! | `stall 1`, `unstall 1` | the disk of node 1 finishes nothing until then, except by `persist` |
//! | `apply 1` | lets a slow state machine apply what it was given |
//! | `fetch 1` | reports the oldest of what a slow reader of node 1 has read; the slowest reads late for the state machine, too |
//! | `stabilize` | delivers and persists until nothing happens any more |
//! | `advance 300ms` | time passes, nothing arrives |
//! | `pause 300ms` | time passes, and nobody notices before the end: the processes stood still |
//! | `run 300ms` | time passes, everything arrives at once; heartbeats and losses are not shown |
//! | `crash 1 [keep=1] [torn]` | power loss; `keep` writes had become durable, of the next one, if torn, term and vote |
//! | `wipe 1 [joins]` | node 1 lost its disk, and starts with the initial membership, or without any |
//! | `damage 1 [unreadable]` | node 1 has found its disk damaged, and starts on stores that began anew, which may not know whose they were |
//! | `restart 1` | starts node 1 on what its disk holds |
//! | `partition 1\|2,3`, `heal` | cuts the network, joins it |
//! | `cut 1,2 3` | loses what nodes 1 and 2 send to node 3, until `heal` |
//! | `unreachable 1 2` | tells node 1 that what it sent to node 2 may be lost |
//! | `snapshot 1` | freezes the state machine of node 1 |
//! | `spoil 1` | from now on the newest snapshot of node 1 cannot be read |
//! | `outcome 1 to=3 term=2 [last=7.2]` | tells node 1 that a snapshot of that term arrived, or did not |
//! | `client a 1 [lifetime=5000] [window=4] [sessions=10] [response=64]` | client `a` opens a session at node 1; it lives for so many ms |
//! | `ask a x y [within=500]`, `keep a`, `close a` | client `a` has `x` and `y` applied, both at once, and waits so many ms; keeps its session alive; ends it |
//! | `turn a 2`, `miss a` | client `a` asks node 2 from now on; the answers it waits for are lost |
//! | `backup 1` | keeps the newest snapshot of node 1 as the backup |
//! | `restore 1 begin`, `restore 1 piece [bytes=4] [altered]`, `restore 1 end`, `restore 1 abort`, `restore 1 end late` | proposes the next part of the backup at node 1, in the term in which the restoration began or, late, in any |
//! | `plan 1 voters=1,4 [learners=5]`, `force 1`, `follow 2` | a dry run on the stores of node 1, which is down; does what it says; lets node 2 take part in that |
//! | `stream 1 2 [parts=3] [open]` | the snapshot that is on its way from 1 to 2 travels in parts, and after so many the connection breaks, or stands still until the next `stream` |
//! | `inject vote from=3 to=1 term=1 last=4.1` | delivers a message that nobody sent; a `snapshot` is the newest of its sender |
//! | `status [1,2]`, `log 1`, `state 1`, `members 1`, `lives 1`, `sessions 1`, `messages` | shows what its name says |

use std::time::Duration;

use raft_core::HardState;
use raft_core::change::MembershipChange;
use raft_core::config::Config;
use raft_core::consensus::{Conditions, Event, To};
use raft_core::entry::Sealed;
use raft_core::id::{LogIndex, NodeId, RecoveryEpoch, Term};
use raft_core::membership::Membership;
use raft_core::message::ReadId;

use super::clients::Clients;
use super::cluster::Cluster;
use super::command::{Command, list, priorities, to_usize};
use super::inject;
use super::lives;
use super::member::Member;
use super::print::{self, Parcel};
use super::restoring::Backups;
use super::streams::Streams;
use super::survivors::Survivors;

/// Plays the commands of one story.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    cluster: Cluster,
    reads: u64,
    clients: Clients,
    backups: Backups,
    survivors: Survivors,
    streams: Streams,
}

impl Teller {
    /// Plays some commands and returns what is seen.
    pub(crate) fn play(&mut self, commands: &[String]) -> Vec<String> {
        let mut seen = Vec::new();
        for line in commands {
            let (line, quiet) = match line.strip_suffix(" quiet") {
                Some(line) => (line, true),
                None => (line.as_str(), false),
            };
            self.command(&Command::new(line));
            let shown = std::mem::take(&mut self.cluster.seen);
            if !quiet {
                seen.extend(shown);
            }
            self.clients.go_on(&mut self.cluster);
            seen.append(&mut self.cluster.seen);
        }
        seen
    }

    fn command(&mut self, command: &Command<'_>) {
        match command.name {
            "nodes" => self.nodes(command),
            "load" => self.load(command),
            "campaign" => self.each(command, |world, node| {
                world.step(node, Event::CampaignRequested);
            }),
            "elect" => self.each(command, elect),
            "propose" => self.propose(command),
            "read" => self.each_read(command),
            "deliver" => self.deliver(command),
            "drop" => {
                let chosen = self.choose(command);
                for parcel in &chosen {
                    self.cluster.lose(parcel);
                }
                self.cluster.drain();
            }
            "duplicate" => {
                let chosen = self.chosen(command);
                self.cluster.pool.extend(chosen);
            }
            "hold" => {
                let chosen = self.choose(command);
                self.cluster.held.extend(chosen);
            }
            "block" => {
                self.cluster.blocked.insert(command.word(0).to_owned());
            }
            "unblock" => self.cluster.blocked.clear(),
            "release" => {
                let held = std::mem::take(&mut self.cluster.held);
                self.cluster.pool.extend(held);
            }
            "persist" => self.persist(command),
            "apply" => self.each(command, Cluster::let_apply),
            "change" => self.change(command),
            "transfer" => self.transfer(command),
            "fetch" => self.each(command, fetch),
            "stabilize" => self.cluster.stabilize(),
            "advance" => self.cluster.advance(command.duration(), false),
            "pause" => self.cluster.pause(command.duration()),
            "run" => {
                self.cluster.hide_routine = true;
                self.cluster.advance(command.duration(), true);
                self.cluster.hide_routine = false;
            }
            _ => self.command_on_the_world(command),
        }
    }

    /// Faults, and what is shown.
    fn command_on_the_world(&mut self, command: &Command<'_>) {
        match command.name {
            "stall" => {
                let nodes = command.nodes(0);
                self.cluster.stalled.extend(nodes);
            }
            "unstall" => {
                let nodes = command.nodes(0);
                self.cluster.stalled.retain(|node| !nodes.contains(node));
            }
            "crash" => self.crash(command),
            "restart" => self.each(command, restart),
            "partition" => {
                let groups = command.words.join("");
                self.cluster.groups = groups.split('|').map(list).collect();
            }
            "cut" => {
                for from in command.nodes(0) {
                    let links = command.nodes(1).into_iter().map(|to| (from, to));
                    self.cluster.cuts.extend(links);
                }
            }
            "heal" => {
                self.cluster.groups.clear();
                self.cluster.cuts.clear();
            }
            "unreachable" => {
                for lost in command.nodes(1) {
                    self.cluster.step(command.node(), Event::Unreachable(lost));
                }
            }
            "snapshot" => self.each(command, |world, node| {
                world.take_snapshot(node);
                world.drain();
            }),
            "spoil" => self.each(command, |world, node| {
                world.member(node).disk.spoil_snapshot();
            }),
            "outcome" => self.outcome(command),
            "inject" => {
                let parcel = inject::parcel(command, &self.cluster);
                self.cluster.deliver(parcel);
            }
            "status" => self.each(command, status),
            "log" => self.each(command, |world, node| {
                let log = world.member(node).disk.with_queue().log;
                world.see(format!("{node}: {}", print::contents(&log)));
            }),
            "wipe" => lives::wipe(&mut self.cluster, command),
            "damage" => lives::damage(&mut self.cluster, command),
            "lives" => self.each(command, |world, node| {
                let shown = world.raft(node).map(|raft| print::lives(&raft.status()));
                world.see(format!("{node}: {}", shown.unwrap_or("down".to_owned())));
            }),
            "members" => self.each(command, |world, node| {
                let shown = world.raft(node).map(|raft| print::members(&raft.status()));
                world.see(format!("{node}: {}", shown.unwrap_or("down".to_owned())));
            }),
            "state" => self.each(command, |world, node| {
                let commands = world.member(node).machine.commands().join(" ");
                world.see(format!("{node}: {commands}"));
            }),
            "messages" => {
                let lines: Vec<String> = self.cluster.pool.iter().map(Parcel::line).collect();
                self.cluster.seen.extend(lines);
            }
            _ => self.command_of_a_feature(command),
        }
    }

    /// Sessions, backups, recoveries and streams.
    fn command_of_a_feature(&mut self, command: &Command<'_>) {
        let world = &mut self.cluster;
        match command.name {
            "client" => self.clients.open(command),
            "ask" => self.clients.ask(command),
            "keep" => self.clients.keep(command),
            "close" => self.clients.close(command),
            "turn" => self.clients.turn(command),
            "miss" => self.clients.miss(command),
            "sessions" => self.each(command, |world, node| {
                let count = world.member(node).machine.sessions();
                world.see(format!("{node}: {count} open"));
            }),
            "backup" => self.backups.keep(world, command.node()),
            "restore" => self.backups.restore(world, command),
            "plan" => self.survivors.plan(world, command),
            "force" => self.survivors.force(world, command),
            "follow" => self.survivors.follow(world, command),
            "stream" => self.streams.go_on(world, command),
            unknown => panic!("there is no command `{unknown}`"),
        }
    }

    fn outcome(&mut self, command: &Command<'_>) {
        let to = NodeId::new(command.number("to").unwrap_or_default());
        let term = Term::new(command.number("term").unwrap_or_default());
        let event = match command.value("last") {
            Some(_) => Event::SnapshotSent {
                to,
                term,
                last: command.log_id("last"),
            },
            None => Event::SnapshotNotSent { to, term },
        };
        self.cluster.step(command.node(), event);
    }

    fn nodes(&mut self, command: &Command<'_>) {
        let nodes = command.nodes(0);
        self.cluster = Cluster::default();
        self.clients = Clients::default();
        let world = &mut self.cluster;
        let mut wanted = Vec::new();
        let mut is_founded = true;
        for (key, value) in &command.pairs {
            match (*key, *value) {
                ("disk", "instant") => world.instant_disk = true,
                ("machine", "slow") => world.slow_machine = true,
                ("reader", "slow") => world.slow_reader = true,
                ("reader", "slowest") => world.slowest_reader = true,
                ("snapshots", "fail") => world.no_snapshots = true,
                ("machine", "sessions") => world.in_sessions = true,
                ("snapshots", "in-parts") => world.in_parts = true,
                ("machine", "durable") => world.durable_machine = true,
                ("priority", list) => wanted = priorities(list),
                ("lives", "unknown") => is_founded = false,
                (field, value) => configure(&mut world.config, field, value),
            }
        }
        world.config.validate().unwrap();
        let voters = nodes.iter().map(|node| (*node, format!("node-{node}")));
        let mut membership = Membership::of_voters(voters).unwrap();
        for (node, priority) in wanted {
            membership = membership.with_priority(node, priority).unwrap();
        }
        if is_founded {
            membership = membership.with_incarnations(nodes.iter().map(|id| (*id, id.get())));
        }
        for node in nodes {
            let mut member = Member::new(node, &[1], &membership, world.in_sessions);
            member.start(world.config.clone(), world.now);
            world.members.insert(node, member);
            world.check_loaded(node);
        }
        world.membership = Some(membership);
    }

    fn load(&mut self, command: &Command<'_>) {
        let node = command.node();
        let terms = command.value("terms").unwrap_or("1");
        let terms: Vec<u64> = match terms {
            "none" => Vec::new(),
            terms => terms.split(',').map(|term| term.parse().unwrap()).collect(),
        };
        let world = &mut self.cluster;
        let membership = world.membership.as_ref().expect("nodes come first");
        let mut member = Member::new(node, &terms, membership, world.in_sessions);
        let last = terms.last().copied().unwrap_or_default();
        member.disk.durable.hard_state = HardState {
            term: Term::new(command.number("term").unwrap_or(last)),
            vote: command.number("vote").map(NodeId::new),
        };
        member.epoch = RecoveryEpoch::new(command.number("epoch").unwrap_or_default());
        member.start(world.config.clone(), world.now);
        world.members.insert(node, member);
        world.check_loaded(node);
        status(world, node);
    }

    fn propose(&mut self, command: &Command<'_>) {
        let commands = command.words.iter().skip(1);
        let sealed = commands.map(|word| Sealed::command(word.as_bytes().to_vec()));
        let forward = command.value("by") == Some("leader");
        let expected_term = command.number("term").map(Term::new);
        let conditions = Conditions {
            expected_term,
            forward,
        };
        let event = Event::ProposedUnder(conditions, sealed.collect());
        self.cluster.step(command.node(), event);
    }

    fn change(&mut self, command: &Command<'_>) {
        let mut change = if command.words.contains(&"abort") {
            MembershipChange::abort()
        } else {
            MembershipChange::new()
        };
        for (key, value) in &command.pairs {
            if *key == "since" {
                change = change.if_unchanged_since(command.log_id(key));
                continue;
            }
            if *key == "priority" {
                for (node, priority) in priorities(value) {
                    change = change.set_priority(node, priority);
                }
                continue;
            }
            for node in list(value) {
                let address = format!("node-{node}");
                change = match *key {
                    "voter" => change.add_voter(node, address),
                    "learner" => change.add_learner(node, address),
                    "promote" => change.promote(node),
                    "demote" => change.demote(node),
                    "remove" => change.remove(node),
                    "readdress" => change.set_address(node, format!("{address}-moved")),
                    other => panic!("what is a change of {other}?"),
                };
            }
        }
        for node in command.nodes(0) {
            let event = Event::ChangeRequested(change.clone());
            self.cluster.step(node, event);
        }
    }

    fn transfer(&mut self, command: &Command<'_>) {
        let target = command.pairs.iter().find(|(key, _)| *key == "to");
        let to = target.map_or(To::Best, |(_, node)| {
            To::Node(NodeId::new(node.parse().expect("a node")))
        });
        for node in command.nodes(0) {
            self.cluster.step(node, Event::TransferRequested(to));
        }
    }

    fn each_read(&mut self, command: &Command<'_>) {
        for node in command.nodes(0) {
            self.reads += 1;
            let read = ReadId(self.reads);
            self.cluster.see(format!("{node}: read {}", read.0));
            let event = match command.pairs.iter().find(|(key, _)| *key == "at") {
                Some((_, index)) => {
                    let index = LogIndex::new(index.parse().expect("an index"));
                    Event::AppliedAwaited(vec![read], index)
                }
                None if command.value("lag").is_some() => {
                    let lag = command.number("lag").unwrap_or_default();
                    Event::BoundedReadsRequested(vec![read], Duration::from_millis(lag))
                }
                None if command.words.contains(&"lease") => Event::LeaseReadsRequested(vec![read]),
                None => Event::ReadsRequested(vec![read]),
            };
            self.cluster.step(node, event);
        }
    }

    fn deliver(&mut self, command: &Command<'_>) {
        let chosen = self.choose(command);
        if chosen.is_empty() {
            self.cluster.see("nothing is on its way");
        }
        for parcel in chosen {
            self.cluster.deliver(parcel);
        }
    }

    fn persist(&mut self, command: &Command<'_>) {
        let count = command.number("count").map_or(usize::MAX, to_usize);
        for node in command.nodes(0) {
            match self.cluster.member(node).persist(count) {
                Some(event) => self.cluster.step(node, event),
                None => self
                    .cluster
                    .see(format!("{node}: nothing waits for the disk")),
            }
        }
    }

    fn crash(&mut self, command: &Command<'_>) {
        let node = command.node();
        let kept = command.number("keep").map_or(0, to_usize);
        let torn = command.words.contains(&"torn");
        let keep_machine = self.cluster.durable_machine;
        let member = self.cluster.member(node);
        member.stop(keep_machine);
        let lost = member.disk.crash(kept, torn);
        let lost: Vec<String> = lost.iter().map(print::write).collect();
        self.cluster.see(match lost.is_empty() {
            true => format!("{node}: crashes"),
            false => format!("{node}: crashes and loses {}", lost.join("; ")),
        });
    }

    /// Does something at each node of the list, or at every node if there is none.
    fn each(&mut self, command: &Command<'_>, act: impl Fn(&mut Cluster, NodeId)) {
        let nodes = match command.words.is_empty() {
            true => self.cluster.members.keys().copied().collect(),
            false => command.nodes(0),
        };
        for node in nodes {
            act(&mut self.cluster, node);
        }
    }

    /// Copies of the messages that `command` chooses.
    fn chosen(&self, command: &Command<'_>) -> Vec<Parcel> {
        let limit = command.number("count").map_or(usize::MAX, to_usize);
        let pool = self.cluster.pool.iter();
        let chosen = pool.filter(|parcel| command.chooses(parcel)).take(limit);
        chosen.cloned().collect()
    }

    /// Takes the messages that `command` chooses out of the pool.
    fn choose(&mut self, command: &Command<'_>) -> Vec<Parcel> {
        let limit = command.number("count").map_or(usize::MAX, to_usize);
        let mut chosen = Vec::new();
        let pool = std::mem::take(&mut self.cluster.pool);
        for parcel in pool {
            match chosen.len() < limit && command.chooses(&parcel) {
                true => chosen.push(parcel),
                false => self.cluster.pool.push(parcel),
            }
        }
        chosen
    }
}

fn fetch(world: &mut Cluster, node: NodeId) {
    let event = world.member(node).fetched.pop_front();
    world.step(node, event.expect("something was read"));
}

fn elect(world: &mut Cluster, node: NodeId) {
    let seen = std::mem::take(&mut world.seen);
    world.step(node, Event::CampaignRequested);
    world.stabilize();
    world.seen = seen;
    status(world, node);
}

pub(crate) fn status(world: &mut Cluster, node: NodeId) {
    let line = match world.raft(node).map(|raft| raft.status()) {
        Some(found) => print::status(&found, &world.member(node).disk),
        None => format!("{node}: down log={}", print::log(&world.member(node).disk)),
    };
    world.see(line);
}

fn restart(world: &mut Cluster, node: NodeId) {
    let (config, now) = (world.config.clone(), world.now);
    let member = world.member(node);
    assert!(member.raft.is_none(), "node {node} is running");
    member.start(config, now);
    status(world, node);
}

fn configure(config: &mut Config, field: &str, value: &str) {
    let number: u64 = value
        .parse()
        .unwrap_or_else(|_| panic!("`{value}` is no number"));
    match field {
        "snapshot_entries" => config.snapshot_entries = number,
        "lease_reads" => config.lease_reads = number != 0,
        "snapshot_bytes" => config.snapshot_bytes = number,
        "snapshot_interval" => config.snapshot_interval = Some(Duration::from_millis(number)),
        "trailing_entries" => config.trailing_entries = number,
        "in_flight_messages_max" => config.in_flight_messages_max = to_usize(number),
        "in_flight_bytes_max" => config.in_flight_bytes_max = to_usize(number),
        "append_bytes_max" => config.append_bytes_max = to_usize(number),
        "entry_bytes_max" => config.entry_bytes_max = to_usize(number),
        "unapplied_bytes_max" => config.unapplied_bytes_max = to_usize(number),
        "applying_bytes_max" => config.applying_bytes_max = to_usize(number),
        "cached_bytes_max" => config.cached_bytes_max = to_usize(number),
        "reads_max" => config.reads_max = to_usize(number),
        unknown => panic!("there is no field `{unknown}`"),
    }
}
