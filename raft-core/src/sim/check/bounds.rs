//! What is on its way and what waits is bounded (RULE 5).

use std::collections::BTreeMap;

use super::{Held, broken};
use crate::consensus::Effect;
use crate::id::NodeId;
use crate::message::Body;
use crate::sim::watch::Step;

/// Past the window: a question for an answer that may be lost, and a probe.
const PROBES_MAX: usize = 2;
/// More than any command of the simulation has: one always passes alone.
const COMMAND_BYTES_MAX: usize = 256;

impl Step<'_> {
    pub(in crate::sim) fn keeps_bounds(&self) -> Held {
        let config = self.config;
        let mut sent: BTreeMap<NodeId, usize> = BTreeMap::new();
        for effect in self.effects {
            if let Effect::Send(message) = effect
                && matches!(message.body, Body::Append { .. })
            {
                *sent.entry(message.to).or_default() += 1;
            }
        }
        for (to, count) in sent {
            let (on_their_way, _) = self.raft.belief(to).map_or((0, 0), |known| known.in_flight);
            let messages_max = config.in_flight_messages_max;
            if on_their_way > messages_max || count > messages_max + PROBES_MAX {
                let node = self.node;
                let detail = format!(
                    "node {node} sends {count} appends to {to} in one step, and has \
                     {on_their_way} on their way, of at most {messages_max}"
                );
                return broken("bounded window", detail);
            }
        }
        let (waits, waits_max) = (self.raft.unapplied(), config.unapplied_bytes_max);
        if waits > waits_max.max(COMMAND_BYTES_MAX) {
            let detail = format!("{waits} bytes of proposals wait, of at most {waits_max}");
            return broken("bounded proposals", detail);
        }
        Ok(())
    }
}
