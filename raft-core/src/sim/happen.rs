//! What happens, to whom, and whether it still matters.

use std::time::Duration;

use super::check::Broken;
use super::cluster::{Cluster, Happening, Own, Way};
use super::driver::SimNode;
use super::machine::Machine;
use super::situation::Situation;
use super::story::Mark;
use crate::consensus::Event;
use crate::id::{NodeId, Term};
use crate::node::SnapshotError;
use crate::snapshot::SnapshotMeta;

impl Cluster {
    pub(super) fn happen(&mut self, happening: Happening) -> Result<(), Broken> {
        if let Some(paused) = self.paused_by(&happening) {
            paused.held.push(happening);
            return Ok(());
        }
        match happening {
            Happening::Deliver(message) if self.is_down(message.to) => {
                self.meet(Situation::MessageToTheDead);
                Ok(())
            }
            Happening::Deliver(message) => self.step(message.to, Event::Received(message)),
            Happening::Own(id, life, own) if self.lives(id, life) => self.own(id, life, own),
            Happening::Own(..) => Ok(()), // Of a life that has ended.
            Happening::SnapshotArrives(way, term, snapshot) => {
                self.snapshot_arrives(way, term, *snapshot)
            }
            Happening::Stream(number, stage) => self.stream_goes_on(number, stage),
            Happening::Restart(id) => {
                if self.is_down(id) && !self.is_lost(id) {
                    self.start(id)
                } else {
                    Ok(())
                }
            }
            Happening::Resume(id) => {
                self.tell(Some(id), Mark::Fault, || "goes on after a pause".to_owned());
                self.resume(id)
            }
            Happening::Faults => self.draw_faults(),
            Happening::Flap(turns_left) => {
                self.turn_flapping(turns_left);
                Ok(())
            }
            Happening::Operator => self.operate(),
            Happening::RestoreTurn => self.restore_turn(),
            Happening::HealPartition => {
                if let Some(until) = self.operator.aims.holds(self.now) {
                    self.schedule_at(until, Happening::HealPartition);
                    return Ok(());
                }
                let victims = self.network.heal();
                self.tell(None, Mark::Fault, || "the network heals".to_owned());
                self.strike_at_healing(&victims)
            }
            Happening::ClientTurn(client) => self.client_turn(client),
            Happening::Ask(client, id) => self.ask_at(client, id),
            Happening::Kick(id) if self.faults_go_on() => self.step(id, Event::CampaignRequested),
            Happening::Kick(_) => Ok(()),
        }
    }

    fn is_down(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.raft.is_none())
    }

    /// Something that a node brought about in this life.
    fn own(&mut self, id: NodeId, life: u64, own: Own) -> Result<(), Broken> {
        match own {
            Own::Wake => self.step(id, Event::TimePassed),
            Own::Expire => self.expire_calls(id),
            Own::PeerLost(peer) => self.step(id, Event::Unreachable(peer)),
            Own::Synced => self.synced(id, life),
            Own::Work => self.work(id),
            Own::SnapshotWritten(snapshot) => {
                if self.snapshot_has_no_room(id) {
                    let no_room = SnapshotError::Failed("no room".to_owned());
                    return self.snapshot_ended(id, Err(no_room));
                }
                let (meta, machine) = *snapshot;
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.disk.keep_snapshot(meta.clone(), machine);
                    node.retain_snapshots();
                }
                self.snapshot_ended(id, Ok(meta))
            }
            Own::Fetch(reader, range, bytes, later) => {
                let from = range.start;
                let node = self.nodes.get(&id);
                let read = node.map_or(Ok(None), |node| node.disk.read(range, bytes));
                let event = match read {
                    Ok(Some(entries)) => Event::Fetched {
                        reader,
                        from,
                        entries,
                    },
                    Ok(None) => Event::FetchPurged { reader },
                    Err(damaged) => {
                        return self.stop_for_damage(id, &damaged);
                    }
                };
                if later.is_zero() {
                    return self.step(id, event);
                }
                let read = Own::Read(Box::new(event));
                self.schedule(later, Happening::Own(id, life, read));
                Ok(())
            }
            Own::Read(event) => self.step(id, *event),
            Own::SnapshotProgressed(to, term) => {
                self.step(id, Event::SnapshotProgressed { to, term })
            }
            Own::SnapshotOutcome(to, term, Some(last)) => {
                self.step(id, Event::SnapshotSent { to, term, last })
            }
            Own::SnapshotOutcome(to, term, None) => {
                self.step(id, Event::SnapshotNotSent { to, term })
            }
            Own::SnapshotUnreadable(to, term) => {
                self.meet_if_leads(id, Situation::SnapshotUnreadable);
                self.step(id, Event::SnapshotUnreadable { to, term })
            }
        }
    }

    fn snapshot_arrives(
        &mut self,
        way: Way,
        term: Term,
        (meta, machine): (SnapshotMeta, Machine),
    ) -> Result<(), Broken> {
        let Way { from, life, to } = way;
        if self.is_down(to) {
            self.meet(Situation::SnapshotToTheDead);
            let lost = Own::SnapshotOutcome(to, term, None);
            self.schedule(Duration::ZERO, Happening::Own(from, life, lost));
            return Ok(());
        }
        if self.is_full(to) {
            self.refuse_snapshot(Own::SnapshotOutcome(to, term, None), from, life);
            return Ok(());
        }
        if let Some(node) = self.nodes.get_mut(&to) {
            node.disk.keep_snapshot(meta.clone(), machine);
            node.snapshotting.stored(&meta);
        }
        let last = Some(meta.id());
        self.step(to, Event::SnapshotReceived { from, term, meta })?;
        let after = self.latency();
        self.schedule(
            after,
            Happening::Own(from, life, Own::SnapshotOutcome(to, term, last)),
        );
        Ok(())
    }

    /// A paused process takes nothing in until it goes on. Its disk does not know.
    fn paused_by(&mut self, happening: &Happening) -> Option<&mut SimNode> {
        let id = match happening {
            Happening::Deliver(message) => message.to,
            Happening::SnapshotArrives(way, ..) => way.to,
            Happening::Stream(number, stage) => self.streams.at_whom(*number, stage)?,
            Happening::Own(id, ..) | Happening::Kick(id) => *id,
            Happening::Restart(_)
            | Happening::Resume(_)
            | Happening::Faults
            | Happening::Flap(_)
            | Happening::Operator
            | Happening::RestoreTurn
            | Happening::HealPartition
            | Happening::ClientTurn(_)
            | Happening::Ask(..) => return None,
        };
        let now = self.now;
        self.nodes
            .get_mut(&id)
            .filter(|node| node.paused_until > now)
    }

    /// A pause is over, or the process is: what was held back happens now, in order.
    pub(super) fn release_held(&mut self, id: NodeId) {
        let now = self.now;
        let paused = self
            .nodes
            .get_mut(&id)
            .filter(|node| node.paused_until <= now);
        let held = paused.map(|node| std::mem::take(&mut node.held));
        for happening in held.into_iter().flatten() {
            self.schedule(Duration::ZERO, happening);
        }
    }
}
