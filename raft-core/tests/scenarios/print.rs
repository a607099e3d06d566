//! How the stories show what happens.

use raft_core::consensus::{
    ChangeRefusal, Effect, IndexRange, Nonsense, PeerStatus, RaftStatus, Refusal, Standing,
    TransferError, Write,
};
use raft_core::entry::Entry;
use raft_core::id::{Incarnation, LogId, NodeId, Term};
use raft_core::membership::Priority;
use raft_core::message::{Body, Message, ReadId};

use super::disk::Disk;
use super::machine::{Snapshot, command_of};

/// Logs longer than this are shown by runs of one term.
const SHOWN_ENTRIES_MAX: usize = 12;

/// What travels between two nodes.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    /// A message.
    Message(Message),
    /// A snapshot with its bytes.
    Snapshot {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The sender's term.
        term: Term,
        /// What is sent.
        snapshot: Snapshot,
    },
}

impl Parcel {
    /// The sender.
    pub(crate) fn from(&self) -> NodeId {
        match self {
            Self::Message(message) => message.from,
            Self::Snapshot { from, .. } => *from,
        }
    }

    /// The receiver.
    pub(crate) fn to(&self) -> NodeId {
        match self {
            Self::Message(message) => message.to,
            Self::Snapshot { to, .. } => *to,
        }
    }

    /// The name by which commands select it.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Message(message) => message.body.name().replace(' ', "-"),
            Self::Snapshot { .. } => "snapshot".to_owned(),
        }
    }

    /// Whether it is a heartbeat or its reply: seldom worth a line.
    pub(crate) fn is_heartbeat(&self) -> bool {
        self.kind().starts_with("heartbeat")
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        let route = format!("{} -> {} {}", self.from(), self.to(), self.kind());
        match self {
            Self::Message(message) => format!("{route} term={}{}", message.term, body(message)),
            Self::Snapshot { term, snapshot, .. } => {
                format!("{route} term={term} last={}", snapshot.meta.id())
            }
        }
    }
}

fn body(message: &Message) -> String {
    match &message.body {
        Body::PreVote { last } => format!(" last={last}"),
        Body::Vote { last, transfer } => {
            let transfer = if *transfer { " transfer" } else { "" };
            format!(" last={last}{transfer}")
        }
        Body::PreVoteReply { granted } | Body::VoteReply { granted } => {
            let answer = if *granted { "granted" } else { "refused" };
            format!(" {answer}")
        }
        Body::Append {
            previous,
            entries,
            commit,
        } => format!(" prev={previous} entries={} commit={commit}", ids(entries)),
        Body::AppendAccepted { matched } => format!(" matched={matched}"),
        Body::AppendRejected { previous, hint } => format!(" prev={previous} hint={hint}"),
        Body::Heartbeat { round, commit } => format!(" round={} commit={commit}", round.0),
        Body::HeartbeatReply {
            round,
            verified,
            supersedes,
        } => {
            let over = supersedes.map(|life| format!(" supersedes={life}"));
            let over = over.unwrap_or_default();
            format!(" round={} verified={verified}{over}", round.0)
        }
        Body::SnapshotInstalled { through } => format!(" through={through}"),
        Body::TimeoutNow => String::new(),
        // The number of a forwarded read is chance, and means nothing to a reader.
        Body::ReadIndex { read: _, lease } => if *lease { " lease" } else { "" }.to_owned(),
        Body::ReadIndexReply { read: _, index } => match index {
            Some(index) => format!(" index={index}"),
            None => " refused".to_owned(),
        },
        Body::Propose {
            forward: _,
            commands,
        } => format!(" commands={}", commands.len()),
        Body::ProposeReply {
            forward: _,
            first,
            count,
            refused,
        } => {
            let refused = refused.map(|reason| format!(" refused={reason:?}"));
            let refused = refused.unwrap_or_default();
            match count {
                0 => refused,
                _ => format!(" first={first} count={count}{refused}"),
            }
        }
    }
}

/// What became of proposals that a node sends on. Their number is chance, and means nothing to a
/// reader.
pub(crate) fn forwarded(node: NodeId, told: &Effect) -> String {
    match told {
        Effect::Forwarded { count, .. } => format!("{node}: forwards {count}"),
        Effect::ForwardAnswered {
            term,
            indexes,
            refused,
            ..
        } => forward_answer(node, indexes, *term, refused.as_ref()),
        _ => format!("{node}: nobody knows of what it has forwarded"),
    }
}

fn forward_answer(
    node: NodeId,
    indexes: &IndexRange,
    term: Term,
    refused: Option<&Refusal>,
) -> String {
    let taken = match indexes.start == indexes.end {
        true => "nothing".to_owned(),
        false => range(indexes, term),
    };
    let rest = refused.map(|reason| format!(", and not the rest: {}", refusal(reason)));
    format!(
        "{node}: what it has forwarded became {taken}{}",
        rest.unwrap_or_default()
    )
}

/// Entries as `index.term`, as the thesis draws them.
pub(crate) fn ids(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return "none".to_owned();
    }
    if entries.len() <= SHOWN_ENTRIES_MAX {
        let ids: Vec<String> = entries.iter().map(|entry| entry.id().to_string()).collect();
        return ids.join(",");
    }
    let runs = entries.chunk_by(|one, next| one.term() == next.term());
    let runs: Vec<String> = runs.map(run).collect();
    runs.join(",")
}

fn run(entries: &[Entry]) -> String {
    match entries {
        [] => String::new(),
        [only] => only.id().to_string(),
        [first, .., last] => format!("{}..{}", first.index(), last.id()),
    }
}

/// The indexes of new entries of one term.
pub(crate) fn range(indexes: &IndexRange, term: Term) -> String {
    let (first, last) = (indexes.start, indexes.end.previous());
    match first == last {
        true => format!("{first}.{term}"),
        false => format!("{first}..{last}.{term}"),
    }
}

/// Reads by their numbers.
pub(crate) fn reads(reads: &[ReadId]) -> String {
    let reads: Vec<String> = reads.iter().map(|read| read.0.to_string()).collect();
    reads.join(",")
}

pub(crate) fn reads_failed(node: NodeId, failed: &[ReadId], reason: &Refusal) -> String {
    let (failed, reason) = (reads(failed), refusal(reason));
    format!("{node}: reads {failed} fail: {reason}")
}

/// Entries with what they carry.
pub(crate) fn contents(entries: &[Entry]) -> String {
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| format!("{}={}", entry.id(), command_of(entry)))
        .collect();
    shown.join(" ")
}

/// What a write does, in the order in which it takes effect.
pub(crate) fn write(write: &Write) -> String {
    let mut parts = Vec::new();
    if let Some(state) = write.hard_state {
        parts.push(state.to_string());
    }
    if let Some(from) = write.truncate_from {
        parts.push(format!("truncate from {from}"));
    }
    if let Some(through) = write.purge_through {
        parts.push(format!("purge through {}", through.id));
    }
    if !write.append.is_empty() {
        parts.push(format!("entries {}", ids(&write.append)));
    }
    if write.repaired {
        parts.push("that it is repaired".to_owned());
    }
    match parts.is_empty() {
        true => "nothing".to_owned(),
        false => parts.join(", "),
    }
}

/// Role, term and leader.
pub(crate) fn standing(standing: Standing) -> String {
    let leader = match standing.leader {
        Some(leader) => format!(" leader={leader}"),
        None => String::new(),
    };
    let Standing { role, term, .. } = standing;
    format!("{} term={term}{leader}", role.as_str())
}

/// The log of a node. A bar stands before what is not durable yet.
pub(crate) fn log(disk: &Disk) -> String {
    let written = disk.with_queue();
    let durable = written
        .log
        .iter()
        .take_while(|entry| disk.durable.entry(entry.index()) == Some(*entry))
        .count();
    let (durable, waiting) = written.log.split_at(durable);
    let base = match written.purged.id {
        LogId::ORIGIN => String::new(),
        purged => format!("..{purged},"),
    };
    match (durable.is_empty(), waiting.is_empty()) {
        (true, true) => format!("{base}none"),
        (_, true) => format!("{base}{}", ids(durable)),
        (true, false) => format!("{base}|{}", ids(waiting)),
        (false, false) => format!("{base}{}|{}", ids(durable), ids(waiting)),
    }
}

/// Everything worth knowing of one node, in one line.
pub(crate) fn status(status: &RaftStatus, disk: &Disk) -> String {
    let state = status.hard_state;
    let vote = match state.vote {
        Some(vote) => format!(" vote={vote}"),
        None => String::new(),
    };
    let snapshot = match status.snapshot {
        Some(snapshot) => format!(" snapshot={snapshot}"),
        None => String::new(),
    };
    let dropped = match status.dropped {
        0 => String::new(),
        count => format!(" dropped={count}"),
    };
    format!(
        "{}: {}{vote} log={}{snapshot} committed={} applied={}{}{dropped}",
        status.id,
        standing(status.standing),
        log(disk),
        status.committed,
        status.applied,
        peers(status),
    )
}

/// A node that is not what it was.
pub(crate) fn displaced(node: NodeId, by: Incarnation) -> String {
    format!("{node}: abstains, for its life {by} has the vote")
}

/// A change that has come to its end.
pub(crate) fn settled(node: NodeId, at: LogId) -> String {
    format!("{node}: membership of {at} is settled")
}

/// A node that has begun anew.
pub(crate) fn repairing(node: NodeId, reason: &str) -> String {
    format!("{node}: repairs its stores, for {reason}")
}

/// Which life of each voter is written down.
pub(crate) fn lives(status: &RaftStatus) -> String {
    let members = status.membership.members().iter();
    let lives: Vec<String> = members
        .filter(|(id, _)| status.membership.is_voter(**id))
        .map(|(id, member)| match member.incarnation {
            Some(life) => format!("{id} is {life}"),
            None => format!("{id} is unknown"),
        })
        .collect();
    let at = status.membership_at;
    let repairs = match &status.repairing {
        Some(former) => format!("; it repairs what was damaged: {}", former.reason),
        None => String::new(),
    };
    let own = match status.displaced_by {
        Some(by) => format!(
            "; it abstains, for it is {} and not {by}",
            status.incarnation
        ),
        None => String::new(),
    };
    format!("membership of {at}: {}{own}{repairs}", lives.join(", "))
}

/// The membership in force, where it stands in the log, and where everybody is reached.
pub(crate) fn members(status: &RaftStatus) -> String {
    let members = status.membership.members().iter();
    let reached: Vec<String> = members
        .map(
            |(id, member)| match member.priority == Priority::default() {
                true => format!("{id}@{}", member.address),
                false => format!("{id}@{} wanted {}", member.address, member.priority),
            },
        )
        .collect();
    let (at, membership) = (status.membership_at, &status.membership);
    format!("membership of {at}: {membership} ({})", reached.join(", "))
}

fn peers(status: &RaftStatus) -> String {
    if status.peers.is_empty() {
        return String::new();
    }
    let silent = |peer: &PeerStatus| match status.membership.is_voter(peer.id) && !peer.counts {
        true => " uncounted",
        false => "",
    };
    let peers: Vec<String> = status
        .peers
        .iter()
        .map(|peer| match peer.state {
            "replicate" => format!("{}:{}{}", peer.id, peer.matched, silent(peer)),
            state => format!("{}:{} {state}{}", peer.id, peer.matched, silent(peer)),
        })
        .collect();
    format!(" matched={{{}}}", peers.join(", "))
}

/// What made no sense, and who said it.
pub(crate) fn nonsense(nonsense: &Nonsense) -> String {
    match nonsense {
        Nonsense::WrongAddressee { from } => format!("a message of {from} for somebody else"),
        Nonsense::TermTooFar { from, term } => format!("a message of {from} with term {term}"),
        Nonsense::MalformedEntries { from } => format!("malformed entries of {from}"),
        Nonsense::Impossible { from, claim } => format!("{from}'s claim {claim}"),
        other => format!("{other:?}"),
    }
}

/// So many proposals were refused.
pub(crate) fn refused(node: NodeId, count: usize, reason: &Refusal) -> String {
    format!("{node}: refuses {count}: {}", refusal(reason))
}

/// Why something was refused.
pub(crate) fn refusal(reason: &Refusal) -> String {
    match reason {
        Refusal::NotLeader(Some(leader)) => format!("not the leader, {leader} is"),
        Refusal::NotLeader(None) => "not the leader, and none is known".to_owned(),
        Refusal::Overloaded => "overloaded".to_owned(),
        Refusal::TooLarge { bytes, bytes_max } => {
            format!("too large: {bytes} bytes, at most {bytes_max}")
        }
        Refusal::Transferring(to) => format!("leadership is being handed over to {to}"),
        Refusal::TimedOut => "timed out".to_owned(),
        Refusal::TermChanged { expected, current } => {
            format!("it is term {current}, not {expected}")
        }
        Refusal::TooStale { lag, behind } => match behind {
            Some(behind) => format!("{behind:?} behind, at most {lag:?} is asked for"),
            None => format!("nobody knows how far behind, at most {lag:?} is asked for"),
        },
        other => format!("{other:?}"),
    }
}

pub(crate) fn change(node: NodeId, answer: Result<LogId, ChangeRefusal>) -> String {
    match answer {
        Ok(at) => format!("{node}: change begins with {at}"),
        Err(refusal) => format!("{node}: change refused: {refusal}"),
    }
}

pub(crate) fn transfer(node: NodeId, outcome: Result<NodeId, TransferError>) -> String {
    match outcome {
        Ok(leader) => format!("{node}: transfer ended: {leader} leads"),
        Err(error) => format!("{node}: transfer failed: {error}"),
    }
}
