//! What a node makes of its disk when it starts: the node's own recovery reads it
//! ([`crate::node::recover`]).

use super::disk::{Disk, Image};
use super::lent_disk::LentDisk;
use super::situation::Situation;
use crate::config::Config;
use crate::consensus::Recovery;
use crate::consensus::mutant::{Mutant, mutant};
use crate::hard_state::Identity;
use crate::id::{ClusterId, GroupId, Incarnation, LogIndex, NodeId, RecoveryEpoch};
use crate::membership::Membership;
use crate::node::StartError;
use crate::node::applier::Applier;
use crate::node::log_writer::LogWriter;
use crate::node::recover::{self, Who};
use crate::snapshot::SnapshotMeta;
use crate::state_machine::StateMachine;
use crate::store::Stores;

/// What a node starts from.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) recovery: Recovery,
    pub(super) applied: LogIndex,
    /// Writes what the core wants to be durable.
    pub(super) writer: LogWriter,
    /// Feeds the machine, which is restored.
    pub(super) applier: Applier,
    /// The snapshot that it was restored from.
    pub(super) base: Option<SnapshotMeta>,
    /// What is remarkable about it.
    pub(super) situations: Vec<Situation>,
}

/// Whose stores a node has in this life. There is one cluster, and one group.
pub(super) fn identity(node: NodeId, incarnation: Incarnation) -> Identity {
    Identity {
        cluster: ClusterId::new(0),
        group: GroupId::default(),
        node,
        incarnation,
        epoch: RecoveryEpoch::default(),
    }
}

impl LentDisk {
    /// The node `identity` starts on `disk`, with a machine that has nothing. If its stores are empty, it
    /// begins with the initial membership.
    pub(super) fn start(
        &self,
        disk: &mut Disk,
        (identity, initial_membership): (Identity, Option<Membership>),
        config: &Config,
        machine: Box<dyn StateMachine>,
    ) -> Result<Started, StartError> {
        if mutant(Mutant::DamageTakenForAbsence) && disk.is_damaged() {
            *disk.durable_mut() = Image::default();
        }
        let who = Who {
            cluster: identity.cluster,
            group: identity.group,
            node: identity.node,
            initial_membership,
            epoch: identity.epoch,
        };
        let stores = Stores {
            log: Box::new(self.clone()),
            stable: Box::new(self.records(identity)),
            snapshots: self.snapshots(),
        };
        let (newest, purged) = (disk.newest_stored(), disk.durable().purged());
        let found = self.during(disk, || {
            recover::recover(&who, config, stores, machine, None)
        })?;
        let mut situations = Vec::new();
        let base = found.newest_snapshot;
        if newest != base.as_ref().map(SnapshotMeta::id) {
            situations.push(Situation::StartedPastDamagedSnapshot);
        }
        if base.is_some() {
            situations.push(Situation::StartedFromSnapshot);
        } else if disk.durable().indexes().is_empty() {
            situations.push(Situation::StartedAsStranger);
        }
        if purged != disk.durable().purged() {
            situations.push(Situation::StartedBehindSnapshot);
        }
        Ok(Started {
            recovery: found.recovery,
            applied: found.applied,
            writer: LogWriter::new(found.log, found.stable),
            applier: found.applier,
            base,
            situations,
        })
    }
}
