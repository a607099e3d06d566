//! Single entries, as the key-value store understands them.

use std::str::FromStr;

use raft_core::entry::{Entry, Payload};
use raft_core::id::LogIndex;
use raft_core::store::ReadOnlyStores;
use serde::Serialize;

use crate::failure::{Failure, OrFail};
use crate::kv::Command;
use crate::terminal::{Table, say};

/// Entries from `from` to before `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    from: u64,
    to: u64,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().ok();
        let range = match text.split_once("..") {
            Some((from, to)) => number(from).zip(number(to)),
            None => number(text).and_then(|at| Some((at, at.checked_add(1)?))),
        };
        match range {
            Some((from, to)) if from < to => Ok(Self { from, to }),
            _ => Err("write FROM..TO, for example 100..120, or one index".into()),
        }
    }
}

#[derive(Serialize)]
struct Line {
    index: u64,
    term: u64,
    /// Microseconds of the group's own time.
    time: u64,
    checksum: String,
    bytes: u64,
    kind: &'static str,
    what: String,
}

/// Prints the entries of `range` that are there.
pub(super) fn say_entries(
    stores: &mut ReadOnlyStores,
    range: &Range,
    json: bool,
) -> Result<(), Failure> {
    let there = stores.bounds().range();
    let mut next = LogIndex::new(range.from).max(there.start);
    let end = LogIndex::new(range.to).min(there.end);
    if next >= end {
        return Err(Failure::new(format!(
            "the log has no such entries: it has those from {} to before {}",
            there.start, there.end
        )));
    }
    let mut lines = Vec::new();
    while next < end {
        let entries = stores.read(next..end, BATCH_BYTES);
        let entries = entries.or_fail(|| format!("cannot read entry {next}"))?;
        next = next.plus(entries.len() as u64);
        lines.extend(entries.iter().map(line));
        if entries.is_empty() {
            return Err(Failure::new(format!("entry {next} is not there")));
        }
    }
    if json {
        let json = serde_json::to_string_pretty(&lines).or_fail(|| "cannot write JSON".into())?;
        say(format_args!("{json}"));
        return Ok(());
    }
    let mut table = Table::new([
        "index", "term", "time us", "checksum", "bytes", "kind", "what",
    ]);
    for line in lines {
        table.row([
            line.index.to_string(),
            line.term.to_string(),
            line.time.to_string(),
            line.checksum,
            line.bytes.to_string(),
            line.kind.to_owned(),
            line.what,
        ]);
    }
    say(format_args!("{table}"));
    Ok(())
}

fn line(entry: &Entry) -> Line {
    let (kind, what) = match entry.payload() {
        Payload::Blank => ("blank", String::new()),
        Payload::Membership { membership, .. } => ("membership", membership.to_string()),
        Payload::Command(bytes) => ("command", told(bytes)),
        Payload::Restoration { .. } => ("restoration", "a part of a backup".to_owned()),
        _ => ("unknown", "of a later version".to_owned()),
    };
    Line {
        index: entry.index().get(),
        term: entry.term().get(),
        time: entry.time().as_micros(),
        checksum: format!("{:08x}", entry.link().checksum),
        bytes: entry.record_bytes() as u64,
        kind,
        what,
    }
}

fn told(command: &[u8]) -> String {
    match Command::decode(command) {
        Ok(Command::Put { key, value }) => format!("put {key:?}, {} bytes", value.len()),
        Ok(Command::Delete { key }) => format!("delete {key:?}"),
        Err(_) => format!("{} bytes of another program", command.len()),
    }
}

const BATCH_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_ends_or_is_one_entry() {
        let range = |from, to| Ok(Range { from, to });
        assert_eq!("3..9".parse(), range(3, 9));
        assert_eq!("7".parse(), range(7, 8));
        for bad in ["", "9..3", "3..3", "a..b", "3-9", "18446744073709551615"] {
            let error = bad.parse::<Range>().unwrap_err();
            assert!(error.contains("FROM..TO"), "{bad}");
        }
    }
}
