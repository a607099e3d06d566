//! Messages that nobody sent: what old, lying or broken nodes might say.

use raft_core::entry::Entry;
use raft_core::id::{GroupId, Incarnation, LogIndex, NodeId, Term};
use raft_core::message::{Body, Message, ReadId, Round};

use super::cluster::Cluster;
use super::command::Command;
use super::member::{GROUP, entry_after};
use super::print::Parcel;

/// What a command describes.
pub(crate) fn parcel(command: &Command<'_>, world: &Cluster) -> Parcel {
    if command.word(0) != "snapshot" {
        return Parcel::Message(message(command, world));
    }
    let node = |key| NodeId::new(command.number(key).unwrap_or_default());
    let newest = world.members[&node("from")].disk.newest_snapshot();
    Parcel::Snapshot {
        from: node("from"),
        to: node("to"),
        term: Term::new(command.number("term").unwrap_or_default()),
        snapshot: newest.expect("the sender has a snapshot").clone(),
    }
}

fn message(command: &Command<'_>, world: &Cluster) -> Message {
    let number = |key| command.number(key).unwrap_or_default();
    let index = |key| LogIndex::new(number(key));
    let granted = command.value("granted") == Some("yes");
    let round = Round(number("round"));
    let body = match command.word(0) {
        "pre-vote" => Body::PreVote {
            last: command.log_id("last"),
        },
        "pre-vote-reply" => Body::PreVoteReply { granted },
        "vote" => Body::Vote {
            last: command.log_id("last"),
            transfer: command.value("transfer") == Some("yes"),
        },
        "vote-reply" => Body::VoteReply { granted },
        "append" => append(command, world),
        "append-accepted" => Body::AppendAccepted {
            matched: index("matched"),
        },
        "append-rejected" => Body::AppendRejected {
            previous: index("prev"),
            hint: command.log_id("hint"),
        },
        "heartbeat" => Body::Heartbeat {
            round,
            commit: index("commit"),
        },
        "heartbeat-reply" => Body::HeartbeatReply {
            round,
            verified: index("verified"),
            supersedes: command.number("supersedes").map(Incarnation::new),
        },
        "read-index" => Body::ReadIndex {
            read: ReadId(number("read")),
            lease: false,
        },
        "timeout-now" => Body::TimeoutNow,
        unknown => panic!("nobody says `{unknown}`"),
    };
    Message {
        group: command.number("group").map_or(GROUP, GroupId::new),
        from: NodeId::new(number("from")),
        incarnation: Incarnation::new(command.number("life").unwrap_or(number("from"))),
        to: NodeId::new(number("to")),
        term: Term::new(number("term")),
        body,
    }
}

/// `prev=2.1 terms=1,2`: entries of these terms, right after the receiver's own entry `prev`.
fn append(command: &Command<'_>, world: &Cluster) -> Body {
    let previous = command.log_id("prev");
    let receiver = NodeId::new(command.number("to").unwrap_or_default());
    let log = world.members[&receiver].disk.with_queue();
    let mut link = log.entry(previous.index).map_or(log.purged, Entry::link);
    link.id = previous;
    let membership = world.membership.as_ref().expect("nodes come first");
    let mut entries = Vec::new();
    for term in command
        .value("terms")
        .into_iter()
        .flat_map(|terms| terms.split(','))
    {
        let term = Term::new(term.parse().unwrap());
        let entry = entry_after(link, term, membership);
        link = entry.link();
        entries.push(entry);
    }
    Body::Append {
        previous,
        entries,
        commit: LogIndex::new(command.number("commit").unwrap_or_default()),
    }
}
