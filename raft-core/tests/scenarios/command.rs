//! A command taken apart.

use std::collections::BTreeSet;
use std::time::Duration;

use raft_core::id::{LogId, LogIndex, NodeId, Term};
use raft_core::membership::Priority;

use super::print::Parcel;

/// Words, and `key=value` pairs.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) name: &'a str,
    pub(crate) words: Vec<&'a str>,
    pub(crate) pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Command<'a> {
    pub(crate) fn new(line: &'a str) -> Self {
        let mut parts = line.split_whitespace();
        let name = parts.next().unwrap_or_default();
        let (mut words, mut pairs) = (Vec::new(), Vec::new());
        for part in parts {
            match part.split_once('=') {
                Some(pair) => pairs.push(pair),
                None => words.push(part),
            }
        }
        Self { name, words, pairs }
    }

    /// The value of `key`.
    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        let pair = self.pairs.iter().find(|(found, _)| *found == key);
        pair.map(|(_, value)| *value)
    }

    /// The value of `key` as a number.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.value(key).map(|value| value.parse().unwrap())
    }

    /// The value of `key`, written `index.term`.
    pub(crate) fn log_id(&self, key: &str) -> LogId {
        let text = self.value(key).unwrap_or("0.0");
        let (index, term) = text.split_once('.').expect("index.term");
        LogId::new(
            Term::new(term.parse().unwrap()),
            LogIndex::new(index.parse().unwrap()),
        )
    }

    /// The word at `at`.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        self.words.get(at).copied().unwrap_or_default()
    }

    pub(crate) fn node(&self) -> NodeId {
        let nodes = self.nodes(0);
        assert_eq!(nodes.len(), 1, "`{}` wants one node", self.name);
        nodes[0]
    }

    pub(crate) fn nodes(&self, at: usize) -> Vec<NodeId> {
        list(self.word(at)).into_iter().collect()
    }

    pub(crate) fn duration(&self) -> Duration {
        let text = self.word(0);
        let number = text.strip_suffix("ms").expect("a time in ms");
        Duration::from_millis(number.parse().unwrap())
    }

    pub(crate) fn chooses(&self, parcel: &Parcel) -> bool {
        let among = |key, node| match self.value(key) {
            Some(text) => list(text).contains(&node),
            None => true,
        };
        let kind = self.words.is_empty() || self.words.contains(&parcel.kind().as_str());
        kind && among("from", parcel.from()) && among("to", parcel.to())
    }
}

/// `1,3` or `1..3`.
pub(crate) fn list(text: &str) -> BTreeSet<NodeId> {
    let number = |text: &str| -> u64 {
        text.parse()
            .unwrap_or_else(|_| panic!("`{text}` is no node"))
    };
    text.split(',')
        .flat_map(|part| match part.split_once("..") {
            Some((first, last)) => number(first)..=number(last),
            None => number(part)..=number(part),
        })
        .map(NodeId::new)
        .collect()
}

/// `1:50,3:0`: node 1 has the priority 50, node 3 none.
pub(crate) fn priorities(text: &str) -> Vec<(NodeId, Priority)> {
    let one = |pair: &str| {
        let (node, priority) = pair.split_once(':').expect("NODE:PRIORITY");
        let node = NodeId::new(node.parse().expect("a node"));
        (node, Priority::new(priority.parse().expect("0 to 255")))
    };
    text.split(',').map(one).collect()
}

/// A number that counts something in memory.
pub(crate) fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
