//! Groups that have lost their quorum for ever, and what is done to the stores of who is left.

use raft_core::HardState;
use raft_core::id::{ChainLink, NodeId, RecoveryEpoch};
use raft_core::membership::Membership;
use raft_core::memory::MemoryStores;
use raft_core::recover::{self, RecoverError, RecoveryPlan};
use raft_core::store::{StableRecord, StoreError, Stores};

use super::cluster::Cluster;
use super::command::{Command, list};
use super::disk::Disk;
use super::member::Member;

/// The plan that was made last.
#[derive(Debug, Default)]
pub(crate) struct Survivors {
    plan: Option<RecoveryPlan>,
}

const READ_BYTES: usize = 1 << 20;

impl Survivors {
    /// `plan 1 voters=1,4 [learners=5]`: a dry run on the stores of node 1, which is down.
    pub(crate) fn plan(&mut self, world: &mut Cluster, command: &Command<'_>) {
        let named = |key| {
            let nodes = command.value(key).map(list).unwrap_or_default();
            nodes.into_iter().map(|node| (node, format!("node-{node}")))
        };
        let membership = Membership::new(named("voters"), named("learners")).unwrap();
        let stores = stores_of(world.member(command.node())).expect("memory takes everything");
        match recover::plan(&stores, membership) {
            Ok(plan) => {
                let shown = plan.to_string();
                self.plan = Some(plan);
                shown.lines().for_each(|line| world.see(line));
            }
            Err(error) => world.see(format!("no plan: {error}")),
        }
    }

    /// `force 1`: does what the plan says.
    pub(crate) fn force(&self, world: &mut Cluster, command: &Command<'_>) {
        self.change(world, command.node(), recover::force_membership);
    }

    /// `follow 2`: node 2 takes part in what was forced elsewhere.
    pub(crate) fn follow(&self, world: &mut Cluster, command: &Command<'_>) {
        self.change(world, command.node(), recover::follow);
    }

    fn change(
        &self,
        world: &mut Cluster,
        node: NodeId,
        act: fn(&mut Stores, &RecoveryPlan) -> Result<(), RecoverError>,
    ) {
        let plan = self.plan.as_ref().expect("a plan comes first");
        let mut stores = stores_of(world.member(node)).expect("memory takes everything");
        if let Err(error) = act(&mut stores, plan) {
            world.see(format!("{node}: refused: {error}"));
            return;
        }
        let epoch = keep(&mut world.member(node).disk, &stores).expect("memory gives everything");
        let is_first = plan.found.identity.node == node;
        world.see(format!("{node}: is of recovery epoch {epoch}"));
        match is_first {
            true => world.recovered(node, epoch),
            false => world.member(node).epoch = epoch,
        }
    }
}

/// What a node's disk holds, as stores that the library can open.
fn stores_of(member: &Member) -> Result<Stores, StoreError> {
    assert!(member.raft.is_none(), "node {} is running", member.id);
    let mut stores = MemoryStores::new().open();
    let image = &member.disk.durable;
    let stable = stores.stable.as_mut();
    if !(image.log.is_empty() && image.purged == ChainLink::ORIGIN) {
        member.identity().save(stable)?;
        image.hard_state.save(stable)?;
        stores.log.purge_prefix(image.purged)?;
        stores.log.append(&image.log)?;
        stores.log.sync()?;
    }
    for snapshot in &member.disk.snapshots {
        let mut sink = stores.snapshots.create(&snapshot.meta.header)?;
        sink.write_all(&snapshot.bytes)
            .expect("memory takes everything");
        sink.finish()?;
    }
    Ok(stores)
}

/// Takes over into `disk` what the stores hold now.
fn keep(disk: &mut Disk, stores: &Stores) -> Result<RecoveryEpoch, StoreError> {
    let stable = stores.stable.as_ref();
    let image = &mut disk.durable;
    image.hard_state = HardState::load(stable)?.unwrap_or_default();
    let bounds = stores.log.bounds()?;
    image.purged = bounds.purged;
    let range = bounds.range();
    image.log = match range.is_empty() {
        true => Vec::new(),
        false => stores.log.reader()?.read(range, READ_BYTES)?,
    };
    let identity = raft_core::Identity::load(stable)?;
    Ok(identity.map(|identity| identity.epoch).unwrap_or_default())
}
