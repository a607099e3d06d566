//! What operators ask of nodes: changes of membership, and snapshots.

use super::check::{Asked, Broken, Held, broken};
use super::cluster::Cluster;
use crate::change::MembershipChange;
use crate::consensus::{ChangeRefusal, Event};
use crate::id::{LogId, NodeId};

impl Cluster {
    /// Asks for a change of membership. It is answered at once; what has begun is owed an end.
    pub(super) fn request_change(
        &mut self,
        leader: NodeId,
        change: MembershipChange,
    ) -> Result<(), Broken> {
        let life = self.nodes.get(&leader).map(|node| node.life);
        self.futures.ask(leader, Asked::ChangeAnswer, self.now);
        self.step(leader, Event::ChangeRequested(change))?;
        let lives_on = life.is_some_and(|life| self.lives(leader, life));
        if lives_on && self.futures.owes(leader, Asked::ChangeAnswer) {
            let detail = format!("node {leader} says nothing to a request for a change");
            return broken("a request for a change is answered at once", detail);
        }
        Ok(())
    }

    pub(super) fn change_answered(&mut self, id: NodeId, answer: &Result<LogId, ChangeRefusal>) {
        self.futures.answer(id, Asked::ChangeAnswer);
        match answer {
            Ok(begun) => {
                // It may have crashed over what it had to do before it says so.
                let is_up = self.nodes.get(&id).is_some_and(|node| node.raft.is_some());
                if is_up {
                    self.futures.ask(id, Asked::Change(*begun), self.now);
                }
                self.count("changes begun");
            }
            Err(_) => self.count("changes refused"),
        }
    }

    /// Each millisecond, somebody may want a snapshot.
    pub(super) fn draw_requests(&mut self, ids: &[NodeId]) -> Held {
        if !self.asks.happens(self.plan.snapshot_requests) {
            return Ok(());
        }
        match self.asks.pick(ids).copied().filter(|id| self.is_up(*id)) {
            Some(node) => self.ask_for_snapshot(node),
            None => Ok(()),
        }
    }
}
