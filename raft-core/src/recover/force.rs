//! Doing what a plan says, in an order that a crash may interrupt anywhere.

use super::error::RecoverError;
use super::plan::RecoveryPlan;
use super::survey::{Found, survey};
use crate::former_lives::FormerLives;
use crate::hard_state::{HardState, Identity};
use crate::id::ChainLink;
use crate::store::{StableRecord, Stores};

/// Gives the group of these stores the membership of `plan`, durably. The node may then be started.
///
/// | step | after a crash right after it |
/// |---|---|
/// | 1. the identity has the new epoch | the node is alone: the old majority refuses it, and it has the old membership, so it decides nothing |
/// | 2. the new term, and the vote for itself | as before |
/// | after damage: its name counts again | as before |
/// | 3. a log that ends before the snapshot is purged through it | as before; a start would do the same |
/// | 4. the entry with the new membership | all is done |
///
/// Repeated, it goes on where it was, and does nothing if all is done.
///
/// # Errors
/// [`RecoverError::Overtaken`] or [`RecoverError::OlderEpoch`] if the plan was not made on what is
/// there; [`RecoverError::Store`], after which the stores must be opened anew.
pub fn force_membership(stores: &mut Stores, plan: &RecoveryPlan) -> Result<(), RecoverError> {
    let entry = plan.entry()?;
    let now = survey(stores)?;
    let identity = Identity {
        epoch: plan.epoch,
        ..plan.found.identity
    };
    let hard_state = HardState {
        term: plan.term,
        vote: Some(identity.node),
    };
    if now.identity.epoch > plan.epoch {
        return Err(RecoverError::OlderEpoch {
            planned: plan.epoch,
            found: now.identity.epoch,
        });
    }
    let (planned, is_appended) = (&plan.found, now.last == entry.link());
    // A step is done only if all before it are.
    let is_fenced = now.identity == identity;
    let is_voted = is_fenced && now.hard_state == hard_state;
    let fits = (is_fenced || now.identity == planned.identity)
        && (is_voted || now.hard_state == planned.hard_state)
        && (is_voted && is_appended || now.last == planned.last);
    if !fits {
        return Err(RecoverError::Overtaken {
            planned: summary(planned),
            found: summary(&now),
        });
    }
    if is_appended {
        // It may have been read back without ever having been synced.
        return Ok(stores.log.sync()?);
    }
    if !is_fenced {
        identity.save(stores.stable.as_mut())?;
    }
    if !is_voted {
        hard_state.save(stores.stable.as_mut())?;
    }
    settle_repair(stores)?;
    if stores.log.bounds()?.last != planned.last {
        purge(stores, planned.last)?;
    }
    stores.log.append(&[entry])?;
    stores.log.sync()?;
    tracing::warn!(%identity, membership = %plan.membership, epoch = %plan.epoch, "membership forced");
    Ok(())
}

/// Lets another survivor take part in the group that `plan` recovered elsewhere. It keeps its data
/// and gets what it lacks from the recovered node. One durable step, safe to repeat.
///
/// # Errors
/// [`RecoverError::Ahead`] if it holds more than the recovered node, or another [`RecoverError`] if
/// it is no member of the plan, or not of that group.
pub fn follow(stores: &mut Stores, plan: &RecoveryPlan) -> Result<(), RecoverError> {
    let now = survey(stores)?;
    let (found, planned) = (now.identity, plan.found.identity);
    if (found.cluster, found.group) != (planned.cluster, planned.group) {
        return Err(RecoverError::Stranger {
            planned: Box::new(planned),
            found: Box::new(found),
        });
    }
    if found.epoch > plan.epoch {
        return Err(RecoverError::OlderEpoch {
            planned: plan.epoch,
            found: found.epoch,
        });
    }
    if found.epoch == plan.epoch {
        return Ok(());
    }
    if !plan.membership.contains(found.node) || found.node == planned.node {
        return Err(RecoverError::NotAVoter {
            node: found.node,
            membership: plan.membership.to_string(),
        });
    }
    if now.last.id > plan.found.last.id {
        return Err(RecoverError::Ahead {
            node: found.node,
            last: now.last.id,
            planned: plan.found.last.id,
        });
    }
    let identity = Identity {
        epoch: plan.epoch,
        ..found
    };
    settle_repair(stores)?;
    identity.save(stores.stable.as_mut())?;
    Ok(())
}

/// Whoever forces a membership takes the data of its members for what the group has. So a node whose
/// stores began anew, and that nobody has counted since, speaks by its name again.
fn settle_repair(stores: &mut Stores) -> Result<(), RecoverError> {
    let former = FormerLives::load(stores.stable.as_ref())?;
    if let Some(former) = former.filter(|former| !former.is_repaired) {
        let settled = FormerLives {
            is_repaired: true,
            ..former
        };
        settled.save(stores.stable.as_mut())?;
    }
    Ok(())
}

/// The log ends before the snapshot: it goes on right after it.
fn purge(stores: &mut Stores, base: ChainLink) -> Result<(), RecoverError> {
    stores.log.purge_prefix(base)?;
    stores.log.sync()?;
    Ok(())
}

fn summary(found: &Found) -> String {
    let Found {
        identity,
        hard_state,
        last,
        ..
    } = found;
    format!(
        "{identity} (epoch {}, {hard_state}, last entry {last})",
        identity.epoch
    )
}
