//! How a leader finds out where its log and a follower's agree: quickly, and whatever it is told.

use proptest::prelude::*;
use raft_core::HardState;
use raft_core::config::Config;
use raft_core::consensus::{Effect, Effects, Event, Raft, Recovery, RoleName, Setup};
use raft_core::entry::{Entry, Payload, Sealed};
use raft_core::id::{ChainLink, GroupId, Incarnation, LogId, LogIndex, NodeId, Term};
use raft_core::membership::Membership;
use raft_core::message::{Body, Message, Round};
use raft_core::time::{ClusterTime, Timestamp};

const LEADER: NodeId = NodeId::new(1);
const FOLLOWER: NodeId = NodeId::new(2);
/// Gives its vote, and is not heard of again.
const VOTER: NodeId = NodeId::new(3);

/// Everybody knows this term; no log has an entry of it.
const TERM: Term = Term::new(30);

/// So many entries of this term.
type Run = (u64, usize);

/// A core that finds these entries on its disk.
fn core(id: NodeId, runs: &[Run]) -> Raft {
    let config = Config::default();
    let members = (1..=3).map(|id| (id, format!("{id}")));
    let membership = Membership::of_voters(members).expect("three voters");
    let membership = membership.with_incarnations((1..=3).map(|id| (id, id)));
    let hard_state = HardState {
        term: TERM,
        vote: None,
    };
    let mut recovery =
        Recovery::new(&config, hard_state, None, ChainLink::ORIGIN).expect("nothing was purged");
    let first = Sealed::new(Payload::membership(membership).expect("it is small"));
    let begin = std::iter::once((1, first));
    let rest = runs.iter().flat_map(|(term, count)| {
        let entry = move |_| (*term, Sealed::command(term.to_string().into_bytes()));
        (0..*count).map(entry)
    });
    for (term, sealed) in begin.chain(rest) {
        let entry = Entry::new(recovery.last(), Term::new(term), ClusterTime::ZERO, sealed);
        recovery.replay(entry).expect("it follows");
    }
    let setup = Setup {
        id,
        incarnation: Incarnation::new(id.get()),
        group: GroupId::default(),
        config,
        seed: id.get(),
    };
    Raft::new(setup, recovery, LogIndex::ZERO, Timestamp::ZERO)
}

/// Lets `event` happen, on a disk that is done at once. Returns what is sent.
fn step(raft: &mut Raft, event: Event) -> Vec<Message> {
    step_at(raft, Timestamp::ZERO, event)
}

fn step_at(raft: &mut Raft, now: Timestamp, event: Event) -> Vec<Message> {
    let mut sent = Vec::new();
    let mut events = vec![event];
    while let Some(event) = events.pop() {
        let mut effects = Effects::new();
        raft.step(now, event, &mut effects);
        raft.check_state();
        for effect in effects.drain() {
            assert!(!matches!(effect, Effect::Halt(_)), "{effect:?}");
            match effect {
                Effect::Send(message) => sent.push(message),
                Effect::Persist(write) => events.push(Event::Persisted(write.sequence)),
                _ => {}
            }
        }
    }
    sent
}

fn message(from: NodeId, term: Term, body: Body) -> Event {
    Event::Received(Message {
        group: GroupId::default(),
        from,
        incarnation: Incarnation::new(from.get()),
        to: LEADER,
        term,
        body,
    })
}

/// Makes `raft` leader, by the vote of [`VOTER`]. Returns what it says first.
fn elect(raft: &mut Raft) -> Vec<Message> {
    step(raft, Event::CampaignRequested);
    let term = raft.standing().term.next();
    let granted = Body::PreVoteReply { granted: true };
    step(raft, message(VOTER, term, granted));
    let granted = Body::VoteReply { granted: true };
    let sent = step(raft, message(VOTER, term, granted));
    assert_eq!(raft.standing().role, RoleName::Leader);
    sent
}

/// Carries messages between the two until none is left. Returns how often the follower refused.
fn converse(leader: &mut Raft, follower: &mut Raft, mut mail: Vec<Message>) -> usize {
    let mut refusals = 0;
    while let Some(message) = mail.pop() {
        refusals += usize::from(matches!(message.body, Body::AppendRejected { .. }));
        let receiver = match message.to {
            LEADER => &mut *leader,
            FOLLOWER => &mut *follower,
            _ => continue,
        };
        mail.extend(step(receiver, Event::Received(message)));
    }
    refusals
}

/// Two logs that part after some runs: the leader has odd terms from there on, the follower even
/// ones.
fn logs() -> impl Strategy<Value = (Vec<Run>, Vec<Run>)> {
    let runs = |most| prop::collection::vec(1_usize..1_500, 0..most);
    (runs(3), runs(5), runs(5)).prop_map(|(common, of_leader, of_follower)| {
        let number = |(at, count): (usize, usize)| (2 + at as u64, count);
        let common: Vec<Run> = common.into_iter().enumerate().map(number).collect();
        let parted = |odd: u64, counts: Vec<usize>| {
            let number = |(at, count): (usize, usize)| (10 + odd + 2 * at as u64, count);
            let runs = counts.into_iter().enumerate().map(number);
            common.iter().copied().chain(runs).collect::<Vec<Run>>()
        };
        (parted(1, of_leader), parted(0, of_follower))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn long_logs_agree_after_one_question_a_term((ours, theirs) in logs()) {
        let (mut leader, mut follower) = (core(LEADER, &ours), core(FOLLOWER, &theirs));
        let mail = elect(&mut leader);
        let refusals = converse(&mut leader, &mut follower, mail);
        prop_assert_eq!(leader.log_ids(), follower.log_ids());
        let terms = ours.len() + theirs.len();
        prop_assert!(refusals <= terms + 1, "{} refusals, {} terms", refusals, terms);
    }

    /// Refusals that are late, repeated or made up, and answers to heartbeats too.
    #[test]
    fn wrong_hints_prove_nothing_and_hinder_nobody(
        (ours, theirs) in logs(),
        claims in prop::collection::vec((any::<bool>(), 0_u64..9_000, 0_u64..9_000, 0_u64..25), 1..60),
    ) {
        let (mut leader, mut follower) = (core(LEADER, &ours), core(FOLLOWER, &theirs));
        elect(&mut leader);
        let term = leader.standing().term;
        for (refuses, index, hint, hint_term) in claims {
            let next = leader.status().peers[0].next;
            let body = if refuses {
                let is_told = index % 2 == 0; // As an answer to what was sent, not a late one.
                let previous = if is_told { next.previous() } else { LogIndex::new(index) };
                let hint = LogIndex::new(hint);
                let hint = LogId::new(Term::new(hint_term), hint);
                Body::AppendRejected { previous, hint }
            } else {
                let verified = LogIndex::new(index);
                Body::HeartbeatReply { round: Round(1), verified, supersedes: None }
            };
            step(&mut leader, message(FOLLOWER, term, body));
            let status = leader.status();
            prop_assert_eq!(status.committed, LogIndex::ZERO);
            prop_assert!(status.peers.iter().all(|peer| peer.matched == LogIndex::ZERO));
        }
        let later = Timestamp::from_millis(60);
        let mail = step_at(&mut leader, later, Event::TimePassed);
        converse(&mut leader, &mut follower, mail);
        prop_assert_eq!(leader.log_ids(), follower.log_ids());
    }
}
