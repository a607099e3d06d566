//! Changes of membership as goals: what the group is to become, not how it gets there.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{LogId, NodeId};
use crate::membership::{Goal, Member, Membership, Priority};

/// What a group is to become: "add 4 as a voter, remove 3".
///
/// The leader, and after it any other, drives the group to the goal: new voters are learners
/// first, and get their vote when they have caught up (thesis §4.2.1); a change of more than one
/// voter goes through joint consensus (thesis §4.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembershipChange {
    steps: Vec<Step>,
    unchanged_since: Option<LogId>,
    abort: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    AddVoter(NodeId, String),
    AddLearner(NodeId, String),
    Promote(NodeId),
    Demote(NodeId),
    Remove(NodeId),
    SetAddress(NodeId, String),
    SetPriority(NodeId, Priority),
}

/// A change that makes no sense for the group as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The change names nothing to do.
    #[error("the change is empty: say whom to add, remove, promote or demote")]
    Empty,
    /// The node does not belong to the group.
    #[error("node {0} is no member: add it first, or name one of the members")]
    UnknownNode(NodeId),
    /// The node belongs to the group already.
    #[error("node {0} is a member already: promote it, or set its address")]
    AlreadyMember(NodeId),
    /// Nobody would vote any more.
    #[error("no voter would be left, so nothing could ever be decided: keep at least one")]
    NoVoters,
    /// An address is empty.
    #[error("node {0} needs an address: say where it is reached")]
    NoAddress(NodeId),
    /// Another change is on its way.
    #[error(
        "a change of membership is in progress, with {goal} as its goal: wait for it, or abort it"
    )]
    InProgress {
        /// Where that one leads.
        goal: Goal,
    },
    /// There is no change to give up.
    #[error("no change of membership is in progress, so there is nothing to abort")]
    NothingToAbort,
    /// The group is between two sets of voters, and can only go on.
    #[error("the group is in joint consensus, which can only be left forwards: wait for its end")]
    Joint,
    /// The membership is not the one that the caller has seen.
    #[error("the membership is that of entry {current}, not of {expected}: look at it again")]
    Changed {
        /// What the caller expected.
        expected: LogId,
        /// What is in force.
        current: LogId,
    },
}

impl MembershipChange {
    /// A change that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new voter. It is a learner until it has caught up.
    #[must_use]
    pub fn add_voter(mut self, node: impl Into<NodeId>, address: impl Into<String>) -> Self {
        self.steps.push(Step::AddVoter(node.into(), address.into()));
        self
    }

    /// A new learner: it receives the log and never counts.
    #[must_use]
    pub fn add_learner(mut self, node: impl Into<NodeId>, address: impl Into<String>) -> Self {
        self.steps
            .push(Step::AddLearner(node.into(), address.into()));
        self
    }

    /// A learner becomes a voter.
    #[must_use]
    pub fn promote(mut self, node: impl Into<NodeId>) -> Self {
        self.steps.push(Step::Promote(node.into()));
        self
    }

    /// A voter becomes a learner.
    #[must_use]
    pub fn demote(mut self, node: impl Into<NodeId>) -> Self {
        self.steps.push(Step::Demote(node.into()));
        self
    }

    /// A member leaves.
    #[must_use]
    pub fn remove(mut self, node: impl Into<NodeId>) -> Self {
        self.steps.push(Step::Remove(node.into()));
        self
    }

    /// A member is reached elsewhere.
    #[must_use]
    pub fn set_address(mut self, node: impl Into<NodeId>, address: impl Into<String>) -> Self {
        self.steps
            .push(Step::SetAddress(node.into(), address.into()));
        self
    }

    /// A member is wanted as leader more than others, or less.
    #[must_use]
    pub fn set_priority(mut self, node: impl Into<NodeId>, priority: Priority) -> Self {
        self.steps.push(Step::SetPriority(node.into(), priority));
        self
    }

    /// Only if the membership in force is still the one of this entry.
    #[must_use]
    pub fn if_unchanged_since(mut self, at: LogId) -> Self {
        self.unchanged_since = Some(at);
        self
    }

    /// Gives up a change in progress, as far as it can be: what joined stays as learners.
    pub fn abort() -> Self {
        Self {
            abort: true,
            ..Self::default()
        }
    }

    /// The life of a member that votes is over: another one takes its place, and nothing else changes.
    pub(crate) fn renew(node: NodeId, member: &Member) -> Self {
        let change = Self::new().remove(node);
        let change = change.add_voter(node, &member.address);
        change.set_priority(node, member.priority)
    }

    /// Whether this gives up another change.
    pub(crate) fn is_abort(&self) -> bool {
        self.abort
    }

    /// The membership to append first, in a group where `current`, of entry `at`, is in force.
    ///
    /// # Errors
    /// [`ChangeError`] says what is wrong, with nothing changed.
    pub fn first_step(&self, current: &Membership, at: LogId) -> Result<Membership, ChangeError> {
        if let Some(expected) = self.unchanged_since.filter(|expected| *expected != at) {
            return Err(ChangeError::Changed {
                expected,
                current: at,
            });
        }
        if current.is_joint() {
            return Err(ChangeError::Joint);
        }
        if self.abort {
            return match current.goal() {
                Some(_) => Ok(current.without_goal()),
                None => Err(ChangeError::NothingToAbort),
            };
        }
        if let Some(goal) = current.goal() {
            return Err(ChangeError::InProgress { goal: goal.clone() });
        }
        if self.steps.is_empty() {
            return Err(ChangeError::Empty);
        }
        Ok(current.toward(self.goal(current)?))
    }

    fn goal(&self, current: &Membership) -> Result<Goal, ChangeError> {
        let mut voters = current.voters().clone();
        let mut members = current.members().clone();
        for step in &self.steps {
            step.perform(&mut voters, &mut members)?;
        }
        if voters.is_empty() {
            return Err(ChangeError::NoVoters);
        }
        Ok(Goal { voters, members })
    }
}

impl Step {
    fn perform(
        &self,
        voters: &mut BTreeSet<NodeId>,
        members: &mut BTreeMap<NodeId, Member>,
    ) -> Result<(), ChangeError> {
        let node = match self {
            Self::AddVoter(node, _)
            | Self::AddLearner(node, _)
            | Self::Promote(node)
            | Self::Demote(node)
            | Self::Remove(node)
            | Self::SetAddress(node, _)
            | Self::SetPriority(node, _) => *node,
        };
        let is_new = matches!(self, Self::AddVoter(..) | Self::AddLearner(..));
        match (members.contains_key(&node), is_new) {
            (true, true) => return Err(ChangeError::AlreadyMember(node)),
            (false, false) => return Err(ChangeError::UnknownNode(node)),
            (true, false) | (false, true) => {}
        }
        match self {
            Self::AddVoter(_, address)
            | Self::AddLearner(_, address)
            | Self::SetAddress(_, address) => {
                if address.is_empty() {
                    return Err(ChangeError::NoAddress(node));
                }
                let new = Member::new(address);
                let member = members.entry(node).or_insert(new);
                member.address.clone_from(address);
            }
            Self::SetPriority(_, priority) => {
                if let Some(member) = members.get_mut(&node) {
                    member.priority = *priority;
                }
            }
            Self::Remove(_) => {
                members.remove(&node);
            }
            Self::Promote(_) => {} // The member stays as it is.
            Self::Demote(_) => {
                // A later vote is for the life that catches up then.
                if let Some(member) = members.get_mut(&node) {
                    member.incarnation = None;
                }
            }
        }
        match self {
            Self::AddVoter(..) | Self::Promote(_) => {
                voters.insert(node);
            }
            Self::Demote(_) | Self::Remove(_) => {
                voters.remove(&node);
            }
            // No vote changes hands.
            Self::AddLearner(..) | Self::SetAddress(..) | Self::SetPriority(..) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Membership {
        Membership::of_voters([(1, "a"), (2, "b"), (3, "c")]).unwrap()
    }

    fn first(change: &MembershipChange) -> Result<Membership, ChangeError> {
        change.first_step(&three(), LogId::ORIGIN)
    }

    #[test]
    fn a_new_voter_is_a_learner_first() {
        let step = first(&MembershipChange::new().add_voter(4, "d")).unwrap();
        assert!(!step.is_voter(NodeId::new(4)) && step.contains(NodeId::new(4)));
        let joined = step.next_step(|_| None).unwrap();
        assert!(joined.is_voter(NodeId::new(4)) && !joined.is_joint());
        assert_eq!(joined.next_step(|_| None), None);
    }

    #[test]
    fn one_voter_leaves_in_one_step() {
        let step = first(&MembershipChange::new().remove(3)).unwrap();
        assert!(!step.contains(NodeId::new(3)) && step.goal().is_none());
    }

    #[test]
    fn several_voters_change_through_joint_consensus() {
        let change = MembershipChange::new()
            .add_voter(4, "d")
            .remove(2)
            .remove(3);
        let learning = first(&change).unwrap();
        let joint = learning.next_step(|_| None).unwrap();
        assert!(joint.is_joint() && joint.contains(NodeId::new(2)));
        let settled = joint.next_step(|_| None).unwrap();
        assert!(!settled.is_joint() && !settled.contains(NodeId::new(2)));
        assert_eq!(settled.to_string(), "voters 1,4");
    }

    #[test]
    fn a_demoted_voter_stays_as_a_learner() {
        let step = first(&MembershipChange::new().demote(1)).unwrap();
        assert_eq!(step.to_string(), "voters 2,3 learners 1");
    }

    #[test]
    fn an_address_and_a_priority_change_without_each_other() {
        let low = Priority::new(7);
        let change = MembershipChange::new()
            .set_priority(2, low)
            .set_address(2, "x");
        let step = first(&change).unwrap();
        let member = &step.members()[&NodeId::new(2)];
        assert_eq!((member.address.as_str(), member.priority), ("x", low));
        assert!(step.is_voter(NodeId::new(2)) && step.goal().is_none());
    }

    #[test]
    fn changes_that_make_no_sense_are_refused_by_name() {
        let node = NodeId::new;
        let new = MembershipChange::new;
        for (change, error) in [
            (new(), ChangeError::Empty),
            (new().add_voter(1, "x"), ChangeError::AlreadyMember(node(1))),
            (new().remove(9), ChangeError::UnknownNode(node(9))),
            (new().promote(9), ChangeError::UnknownNode(node(9))),
            (new().add_voter(4, ""), ChangeError::NoAddress(node(4))),
            (new().remove(1).remove(2).remove(3), ChangeError::NoVoters),
        ] {
            assert_eq!(first(&change), Err(error));
        }
        let learning = first(&new().add_voter(4, "d")).unwrap();
        let nested = new().remove(1).first_step(&learning, LogId::ORIGIN);
        assert!(matches!(nested, Err(ChangeError::InProgress { .. })));
        let aborted = MembershipChange::abort().first_step(&learning, LogId::ORIGIN);
        assert_eq!(aborted.unwrap().to_string(), "voters 1,2,3 learners 4");
        assert_eq!(
            first(&MembershipChange::abort()),
            Err(ChangeError::NothingToAbort)
        );
    }
}
