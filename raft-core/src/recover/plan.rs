//! The dry run: what is there, what it would become, and what may be lost.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::RecoverError;
use super::survey::{Found, survey, survey_read_only};
use crate::entry::{Entry, Payload, Sealed};
use crate::id::{NodeId, RecoveryEpoch, Term};
use crate::membership::Membership;
use crate::store::{ReadOnlyStores, Stores};

/// What [`super::force_membership`] will do. Printed, it is a table for people; serialised, it can
/// be kept with the incident's papers and given to the other survivors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPlan {
    /// What the stores hold.
    pub found: Found,
    /// Who is to belong to the group.
    pub membership: Membership,
    /// The term in which that is appended.
    pub term: Term,
    /// The epoch that begins.
    pub epoch: RecoveryEpoch,
    /// The voters that are given up. Their data must never be used again.
    pub lost: Vec<NodeId>,
}

/// Plans to give the group of these stores the members of `membership`. Changes nothing.
///
/// The plan is safe to repeat: on stores that were recovered half way it begins a further epoch.
///
/// # Errors
/// [`RecoverError`]: the stores are empty, in use or damaged, or the membership makes no sense.
pub fn plan(stores: &Stores, membership: Membership) -> Result<RecoveryPlan, RecoverError> {
    plan_of(survey(stores)?, membership)
}

/// As [`plan`], of stores that were opened for reading: not a byte of their files changes.
///
/// # Errors
/// As [`plan`].
pub fn plan_read_only(
    stores: &mut ReadOnlyStores,
    membership: Membership,
) -> Result<RecoveryPlan, RecoverError> {
    plan_of(survey_read_only(stores)?, membership)
}

fn plan_of(found: Found, membership: Membership) -> Result<RecoveryPlan, RecoverError> {
    let node = found.identity.node;
    if !membership.voters().contains(&node) {
        return Err(RecoverError::NotAVoter {
            node,
            membership: membership.to_string(),
        });
    }
    if membership.is_joint() || membership.goal().is_some() {
        return Err(RecoverError::Unsettled(membership.to_string()));
    }
    // A recovery founds anew: the epoch keeps former selves away, and the new members are to be met.
    let membership = membership.without_incarnations();
    let old = &found.membership;
    let voters = old.voters().union(old.outgoing());
    let lost = voters
        .filter(|id| !membership.contains(**id))
        .copied()
        .collect();
    let plan = RecoveryPlan {
        term: found.hard_state.term.max(found.last.id.term).next(),
        epoch: RecoveryEpoch::new(found.identity.epoch.get().saturating_add(1)),
        found,
        membership,
        lost,
    };
    plan.entry()?;
    Ok(plan)
}

impl RecoveryPlan {
    /// The entry that holds the new membership.
    pub(super) fn entry(&self) -> Result<Entry, RecoverError> {
        let payload = Payload::membership(self.membership.clone())?;
        let sealed = Sealed::new(payload);
        Ok(Entry::new(
            self.found.last,
            self.term,
            self.found.time,
            sealed,
        ))
    }
}

impl fmt::Display for RecoveryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found {
            identity,
            hard_state,
            snapshot,
            last,
            membership,
            membership_at,
            uncertain,
            ..
        } = &self.found;
        let snapshot = snapshot.map_or("none".to_owned(), |last| format!("through entry {last}"));
        writeln!(f, "{identity}, recovery epoch {}", identity.epoch)?;
        writeln!(f, "what is there")?;
        writeln!(f, "  term and vote    {hard_state}")?;
        writeln!(f, "  last entry       {last}")?;
        writeln!(f, "  snapshot         {snapshot}")?;
        writeln!(
            f,
            "  committed        at least through entry {}",
            self.found.committed()
        )?;
        writeln!(f, "  membership       {membership} (entry {membership_at})")?;
        writeln!(f, "what it becomes")?;
        writeln!(f, "  membership       {}", self.membership)?;
        writeln!(f, "  term             {}", self.term)?;
        writeln!(f, "  recovery epoch   {}", self.epoch)?;
        writeln!(f, "what may be lost")?;
        let lost: Vec<String> = self.lost.iter().map(NodeId::to_string).collect();
        let lost = if lost.is_empty() {
            "none".to_owned()
        } else {
            lost.join(",")
        };
        writeln!(f, "  voters given up  {lost}: they are refused from now on")?;
        writeln!(
            f,
            "  after entry {}: everything, though clients may have been told that it is applied",
            last.id
        )?;
        let range = self.found.uncertain_range();
        if range.is_empty() {
            return writeln!(f, "  no entry that is here is uncertain");
        }
        writeln!(
            f,
            "  entries {} to {} ({} commands, {} memberships, {} bytes) may never have been committed: \
             they are kept, and will be",
            range.start,
            range.end.previous(),
            uncertain.commands,
            uncertain.memberships,
            uncertain.bytes
        )
    }
}
