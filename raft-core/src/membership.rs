//! Who belongs to the group, who votes, and where each is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::id::NodeId;

/// The members of a group. In force from the moment its entry is appended (thesis §4.1).
///
/// While the group moves from one set of voters to another, both sets are in force (joint
/// consensus, thesis §4.3): `outgoing` is the old one, and every decision needs a majority of each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Membership {
    voters: BTreeSet<NodeId>,
    outgoing: BTreeSet<NodeId>,
    members: BTreeMap<NodeId, Member>,
    goal: Option<Goal>,
}

/// What a group is on its way to. It is part of the membership, so that any leader drives it on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Goal {
    /// Who will vote.
    pub voters: BTreeSet<NodeId>,
    /// Who will belong to the group.
    pub members: BTreeMap<NodeId, Member>,
}

/// What the group knows of one member.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Where its transport listens, in the form that the transport understands (`host:port`).
    pub address: String,
    /// How much it is wanted as leader.
    pub priority: Priority,
}

/// How much a voter is wanted as leader: the greater, the more. Only a preference: whoever can
/// lead does, if nobody who is wanted more can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

/// A node and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which node.
    pub id: NodeId,
    /// Where its transport listens.
    pub address: String,
}

/// A membership that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Nobody votes, so nothing could ever be decided.
    #[error("a membership needs at least one voter")]
    NoVoters,
    /// A voter is missing from the list of members.
    #[error("voter {0} is no member: give its address")]
    UnknownVoter(NodeId),
    /// A member has no address.
    #[error("member {0} has an empty address")]
    NoAddress(NodeId),
    /// A priority was given to somebody who does not belong to the group.
    #[error("node {0} is no member, so it can have no priority: name one of the members")]
    UnknownMember(NodeId),
    /// The same node is listed twice.
    #[error("node {0} is listed twice")]
    Duplicate(NodeId),
}

/// The form before its rules were checked.
#[derive(Deserialize)]
struct Unchecked {
    voters: BTreeSet<NodeId>,
    outgoing: BTreeSet<NodeId>,
    members: BTreeMap<NodeId, Member>,
    goal: Option<Goal>,
}

impl Membership {
    /// A group of voters, each with its address.
    ///
    /// # Errors
    /// [`MembershipError`] if there is no voter, one is listed twice, or an address is empty.
    pub fn of_voters<I, N, A>(voters: I) -> Result<Self, MembershipError>
    where
        I: IntoIterator<Item = (N, A)>,
        N: Into<NodeId>,
        A: Into<String>,
    {
        Self::new(voters, std::iter::empty::<(NodeId, String)>())
    }

    /// A group of voters and learners (members that receive the log and never count).
    ///
    /// # Errors
    /// As [`Membership::of_voters`].
    pub fn new<N, A, M, B>(
        voters: impl IntoIterator<Item = (N, A)>,
        learners: impl IntoIterator<Item = (M, B)>,
    ) -> Result<Self, MembershipError>
    where
        N: Into<NodeId>,
        A: Into<String>,
        M: Into<NodeId>,
        B: Into<String>,
    {
        let voters = voters
            .into_iter()
            .map(|(id, at)| (id.into(), at.into(), true));
        let learners = learners
            .into_iter()
            .map(|(id, at)| (id.into(), at.into(), false));
        let mut unchecked = Unchecked {
            voters: BTreeSet::new(),
            outgoing: BTreeSet::new(),
            members: BTreeMap::new(),
            goal: None,
        };
        for (id, address, votes) in voters.chain(learners) {
            let member = Member::new(address);
            if unchecked.members.insert(id, member).is_some() {
                return Err(MembershipError::Duplicate(id));
            }
            if votes {
                unchecked.voters.insert(id);
            }
        }
        unchecked.try_into()
    }

    /// The same group, with a node more or less wanted as leader than the others.
    ///
    /// # Errors
    /// [`MembershipError::UnknownMember`] if the node does not belong to it.
    pub fn with_priority(
        mut self,
        node: impl Into<NodeId>,
        priority: Priority,
    ) -> Result<Self, MembershipError> {
        let node = node.into();
        let member = self.members.get_mut(&node);
        member.ok_or(MembershipError::UnknownMember(node))?.priority = priority;
        Ok(self)
    }

    /// What a node knows before it has heard of any membership. Elects nobody, is never stored.
    pub(crate) fn nobody() -> Self {
        Self {
            voters: BTreeSet::new(),
            outgoing: BTreeSet::new(),
            members: BTreeMap::new(),
            goal: None,
        }
    }

    /// The voters; the incoming set while joint.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        &self.voters
    }

    /// The outgoing voters while joint, otherwise nobody.
    pub fn outgoing(&self) -> &BTreeSet<NodeId> {
        &self.outgoing
    }

    /// Whether two sets of voters are in force.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Everyone, by id.
    pub fn members(&self) -> &BTreeMap<NodeId, Member> {
        &self.members
    }

    /// Whether `node` votes, in either half.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether `node` belongs to the group.
    pub fn contains(&self, node: NodeId) -> bool {
        self.members.contains_key(&node)
    }

    /// How much `node` is wanted as leader.
    pub fn priority(&self, node: NodeId) -> Priority {
        let member = self.members.get(&node);
        member.map(|member| member.priority).unwrap_or_default()
    }

    /// Where `node` is reached.
    pub fn peer(&self, node: NodeId) -> Option<Peer> {
        let member = self.members.get(&node)?;
        Some(Peer {
            id: node,
            address: member.address.clone(),
        })
    }

    /// What the group is on its way to, if it is.
    pub fn goal(&self) -> Option<&Goal> {
        self.goal.as_ref()
    }

    /// Who gets a vote on the way to the goal, and has to catch up first.
    pub fn joining(&self) -> Vec<NodeId> {
        let goal = self.goal.iter().filter(|_| !self.is_joint());
        goal.flat_map(|goal| goal.voters.difference(&self.voters))
            .copied()
            .collect()
    }

    /// The first step toward `goal`: new members join as learners, and known ones move to their
    /// new address. If no vote has to wait, this is the next step already.
    pub(crate) fn toward(&self, goal: Goal) -> Self {
        let mut members = self.members.clone();
        members.extend(goal.members.clone());
        let step = Self {
            members,
            goal: Some(goal),
            ..self.clone()
        };
        if step.joining().is_empty() {
            step.next_step().unwrap_or(step)
        } else {
            step
        }
    }

    /// A step that only says where the group goes: toward `end`, with every vote as it is.
    pub(crate) fn announcing(&self, end: Self) -> Self {
        let mut members = self.members.clone();
        members.extend(end.members.clone());
        let goal = Some(Goal {
            voters: end.voters,
            members: end.members,
        });
        Self {
            members,
            goal,
            ..self.clone()
        }
    }

    /// The next step toward the goal, once this one is committed and whoever joins has caught up.
    /// `None` if the goal is reached.
    pub(crate) fn next_step(&self) -> Option<Self> {
        let goal = self.goal.as_ref()?;
        let is_single = self.voters.symmetric_difference(&goal.voters).count() <= 1;
        if self.is_joint() || is_single {
            return Some(Self {
                voters: goal.voters.clone(),
                outgoing: BTreeSet::new(),
                members: goal.members.clone(),
                goal: None,
            });
        }
        Some(Self {
            voters: goal.voters.clone(),
            outgoing: self.voters.clone(),
            ..self.clone()
        })
    }

    /// The same members, on the way to nothing.
    pub(crate) fn without_goal(&self) -> Self {
        Self {
            goal: None,
            ..self.clone()
        }
    }

    /// Decodes what [`crate::entry::Payload::membership`] encoded.
    ///
    /// # Errors
    /// [`CodecError`] for anything else, a membership without voters included.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode("membership", bytes)
    }
}

impl Member {
    /// A member that is wanted as leader as much as any other.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            priority: Priority::default(),
        }
    }
}

impl Priority {
    /// Leads only where nobody else can.
    pub const LEAST: Self = Self(0);

    /// A priority. What nobody sets is 100.
    pub const fn new(priority: u8) -> Self {
        Self(priority)
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(100)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<Unchecked> for Membership {
    type Error = MembershipError;

    fn try_from(unchecked: Unchecked) -> Result<Self, MembershipError> {
        let Unchecked {
            voters,
            outgoing,
            members,
            goal,
        } = unchecked;
        check(voters.union(&outgoing), &voters, &members)?;
        if let Some(goal) = &goal {
            check(goal.voters.iter(), &goal.voters, &goal.members)?;
        }
        Ok(Self {
            voters,
            outgoing,
            members,
            goal,
        })
    }
}

/// Somebody votes, every voter is a member, and every member has an address.
fn check<'a>(
    mut everyone: impl Iterator<Item = &'a NodeId>,
    voters: &BTreeSet<NodeId>,
    members: &BTreeMap<NodeId, Member>,
) -> Result<(), MembershipError> {
    if voters.is_empty() {
        return Err(MembershipError::NoVoters);
    }
    if let Some(stranger) = everyone.find(|voter| !members.contains_key(voter)) {
        return Err(MembershipError::UnknownVoter(*stranger));
    }
    let silent = members.iter().find(|(_, member)| member.address.is_empty());
    silent.map_or(Ok(()), |(id, _)| Err(MembershipError::NoAddress(*id)))
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let learners = self.members.keys().filter(|id| !self.voters.contains(id));
        write_members(f, &self.voters, learners)
    }
}

/// Voters, then learners if there are any.
fn write_members<'a>(
    f: &mut fmt::Formatter<'_>,
    voters: &BTreeSet<NodeId>,
    learners: impl Iterator<Item = &'a NodeId>,
) -> fmt::Result {
    write!(f, "voters {}", list(voters.iter()))?;
    let learners = list(learners);
    if learners.is_empty() {
        return Ok(());
    }
    write!(f, " learners {learners}")
}

fn list<'a>(ids: impl Iterator<Item = &'a NodeId>) -> String {
    let ids: Vec<String> = ids.map(NodeId::to_string).collect();
    ids.join(",")
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let learners = self.members.keys().filter(|id| !self.is_voter(**id));
        write_members(f, &self.voters, learners)?;
        if self.is_joint() {
            write!(f, " outgoing {}", list(self.outgoing.iter()))?;
        }
        match &self.goal {
            Some(goal) => write!(f, " goal ({goal})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_survives_its_encoding() {
        let membership = Membership::new([(1, "a:1"), (2, "b:1")], [(7, "c:1")]).unwrap();
        let bytes = codec::encode("membership", &membership).unwrap();
        assert_eq!(Membership::decode(&bytes).unwrap(), membership);
        assert_eq!(membership.to_string(), "voters 1,2 learners 7");
    }

    #[test]
    fn a_membership_that_cannot_be_is_refused_by_name() {
        let nobody: [(u64, &str); 0] = [];
        assert_eq!(
            Membership::of_voters(nobody),
            Err(MembershipError::NoVoters)
        );
        assert_eq!(
            Membership::of_voters([(1, "a"), (1, "b")]),
            Err(MembershipError::Duplicate(NodeId::new(1)))
        );
        assert_eq!(
            Membership::of_voters([(1, "")]),
            Err(MembershipError::NoAddress(NodeId::new(1)))
        );
        let alone = Membership::of_voters([(1, "a")]).unwrap();
        assert_eq!(
            alone.with_priority(2, Priority::LEAST),
            Err(MembershipError::UnknownMember(NodeId::new(2)))
        );
    }
}
