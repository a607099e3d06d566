//! What was found, as tables for people and as JSON for programs.

use std::fmt;
use std::path::PathBuf;

use raft_core::Identity;
use raft_core::id::{ChainLink, Incarnation, LogId};
use raft_core::membership::Membership;
use raft_core::store::{FloorMark, Relocation, StoreError};
use raft_core::units::Size;
use serde::Serialize;

use crate::terminal::{Table, thousands};

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) directory: PathBuf,
    pub(super) store: &'static str,
    /// None if no node was ever started here, or the record is damaged.
    pub(super) whose: Option<Whose>,
    pub(super) term: Option<u64>,
    pub(super) vote: Option<u64>,
    /// That the data was moved, if it was.
    pub(super) moved: Option<String>,
    /// The entry before the first.
    pub(super) purged: Link,
    pub(super) last: Link,
    pub(super) floor: Option<Floor>,
    pub(super) counts: Counts,
    pub(super) terms: Vec<TermRange>,
    /// The newest, of the log or of the newest snapshot.
    pub(super) membership: Option<Members>,
    /// The newest first.
    pub(super) snapshots: Vec<SnapshotReport>,
    /// Whether the snapshots were read too.
    pub(super) verified: bool,
    pub(super) damage: Vec<Damage>,
}

#[derive(Debug, Serialize)]
pub(super) struct Whose {
    cluster: String,
    group: u64,
    node: u64,
    incarnation: u64,
    recovery_epoch: u64,
}

/// An entry, and the checksum that covers it and all before it.
#[derive(Debug, Serialize)]
pub(super) struct Link {
    index: u64,
    term: u64,
    checksum: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Floor {
    commits: u64,
    last: Link,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Counts {
    pub(super) entries: u64,
    pub(super) commands: u64,
    pub(super) memberships: u64,
    pub(super) restorations: u64,
    pub(super) blanks: u64,
    /// Of the records, headers included.
    pub(super) bytes: u64,
    pub(super) largest_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct TermRange {
    pub(super) term: u64,
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Members {
    at: u64,
    /// For people: voters, learners, and what is under way.
    words: String,
    members: Vec<MemberLine>,
}

#[derive(Clone, Debug, Serialize)]
struct MemberLine {
    id: u64,
    address: String,
    voter: bool,
    incarnation: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct SnapshotReport {
    pub(super) last: Link,
    pub(super) bytes: u64,
    /// crc32c of the state.
    pub(super) checksum: String,
    pub(super) members: Members,
}

/// Something that is not what was written.
#[derive(Debug, Serialize)]
pub(super) struct Damage {
    place: String,
    what: String,
    detail: String,
}

impl Whose {
    pub(super) fn of(identity: Identity) -> Self {
        Self {
            cluster: identity.cluster.to_string(),
            group: identity.group.get(),
            node: identity.node.get(),
            incarnation: identity.incarnation.get(),
            recovery_epoch: identity.epoch.get(),
        }
    }
}

impl From<ChainLink> for Link {
    fn from(link: ChainLink) -> Self {
        Self {
            index: link.id.index.get(),
            term: link.id.term.get(),
            checksum: format!("{:08x}", link.checksum),
        }
    }
}

impl From<FloorMark> for Floor {
    fn from(mark: FloorMark) -> Self {
        Self {
            commits: mark.commits,
            last: mark.last.into(),
        }
    }
}

impl Members {
    pub(super) fn of(at: LogId, membership: &Membership) -> Self {
        let line =
            |(id, member): (&raft_core::id::NodeId, &raft_core::membership::Member)| MemberLine {
                id: id.get(),
                address: member.address.clone(),
                voter: membership.is_voter(*id),
                incarnation: membership.incarnation(*id).map(Incarnation::get),
            };
        Self {
            at: at.index.get(),
            words: membership.to_string(),
            members: membership.members().iter().map(line).collect(),
        }
    }
}

impl Damage {
    pub(super) fn new(place: &str, what: String, detail: String) -> Self {
        Self {
            place: place.to_owned(),
            what,
            detail,
        }
    }

    pub(super) fn of(error: &StoreError) -> Self {
        match error {
            StoreError::Damaged {
                place,
                what,
                detail,
            } => Self::new(place, what.clone(), detail.clone()),
            other => Self::new("the store", "it".into(), other.to_string()),
        }
    }
}

/// What became of the data.
pub(super) fn told(moved: &Relocation) -> String {
    match moved {
        Relocation::Arriving { from, .. } => {
            format!("an unfinished copy of {from}: no node starts here")
        }
        Relocation::Departed { to, .. } => format!("moved to {to}: no node starts here any more"),
        Relocation::Arrived { from, .. } => format!("came from {from}"),
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.index == 0 {
            return f.write_str("none");
        }
        write!(f, "{} of term {} #{}", self.index, self.term, self.checksum)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::plain();
        table.row(["directory", &self.directory.display().to_string()]);
        table.row(["store", self.store]);
        let whose = match &self.whose {
            Some(whose) => format!(
                "{} of group {} in cluster {}",
                whose.node, whose.group, whose.cluster
            ),
            None => "unknown: none was ever started here, or its record is damaged".to_owned(),
        };
        table.row(["node", &whose]);
        if let Some(whose) = &self.whose {
            table.row(["incarnation", &whose.incarnation.to_string()]);
            table.row(["recovery epoch", &whose.recovery_epoch.to_string()]);
        }
        if let Some(moved) = &self.moved {
            table.row(["data", moved]);
        }
        let or_none = |number: Option<u64>| number.map_or("none".to_owned(), |n| n.to_string());
        table.row(["term", &or_none(self.term)]);
        table.row(["vote", &or_none(self.vote)]);
        table.row(["purged through", &self.purged.to_string()]);
        table.row(["last entry", &self.last.to_string()]);
        if let Some(floor) = &self.floor {
            let text = format!(
                "{} commits, through entry {}",
                thousands(floor.commits),
                floor.last
            );
            table.row(["floor", &text]);
        }
        let counts = &self.counts;
        let text = format!(
            "{} ({} commands, {} memberships, {} of restorations, {} blank), {} in all, the largest {}",
            thousands(counts.entries),
            thousands(counts.commands),
            thousands(counts.memberships),
            thousands(counts.restorations),
            thousands(counts.blanks),
            bytes(counts.bytes),
            bytes(counts.largest_bytes)
        );
        table.row(["entries", &text]);
        let membership = self.membership.as_ref();
        let text = membership.map_or("none".to_owned(), |members| {
            format!("{} (entry {})", members.words, members.at)
        });
        table.row(["membership", &text]);
        writeln!(f, "{table}")?;
        self.fmt_members(f)?;
        self.fmt_terms(f)?;
        self.fmt_snapshots(f)?;
        self.fmt_damage(f)
    }
}

impl Report {
    fn fmt_members(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(members) = &self.membership else {
            return Ok(());
        };
        let mut table = Table::new(["member", "address", "votes", "incarnation"]);
        for member in &members.members {
            table.row([
                member.id.to_string(),
                member.address.clone(),
                if member.voter { "yes" } else { "no" }.to_owned(),
                member
                    .incarnation
                    .map_or("not met".to_owned(), |life| life.to_string()),
            ]);
        }
        writeln!(f, "\n{table}")
    }

    fn fmt_terms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(["term", "first entry", "last entry", "entries"]);
        for range in &self.terms {
            table.row([
                range.term.to_string(),
                range.first.to_string(),
                range.last.to_string(),
                thousands(range.last + 1 - range.first),
            ]);
        }
        writeln!(f, "\n{table}")
    }

    fn fmt_snapshots(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.snapshots.is_empty() {
            return writeln!(f, "\nno snapshots");
        }
        let mut table = Table::new(["snapshot through", "size", "crc32c", "membership"]);
        for snapshot in &self.snapshots {
            table.row([
                snapshot.last.to_string(),
                bytes(snapshot.bytes),
                snapshot.checksum.clone(),
                snapshot.members.words.clone(),
            ]);
        }
        writeln!(f, "\n{table}")
    }

    fn fmt_damage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for damage in &self.damage {
            writeln!(
                f,
                "\nDAMAGED: {}, {}: {}",
                damage.place, damage.what, damage.detail
            )?;
        }
        match (self.damage.is_empty(), self.verified) {
            (true, true) => write!(f, "\neverything was read, and every checksum holds"),
            (true, false) => write!(
                f,
                "\nthe log was read and holds; the data of snapshots was not read (--verify does)"
            ),
            (false, _) => Ok(()),
        }
    }
}

/// As people write it, in the largest unit that leaves a few digits.
fn bytes(count: u64) -> String {
    let mut rounded = count;
    let mut unit = 1;
    while rounded >= 10 * 1024 {
        rounded /= 1024;
        unit *= 1024;
    }
    Size(rounded * unit).to_string()
}
