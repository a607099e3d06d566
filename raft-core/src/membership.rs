//! Who belongs to the group, who votes, and where each is reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::id::{Incarnation, NodeId};

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
    /// Which life of the node votes, once a leader has met it and written it down. Only voters have
    /// one: who joins, or has lost its vote, is known by its name alone.
    pub incarnation: Option<Incarnation>,
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
    #[error("a membership needs at least one voter: name one")]
    NoVoters,
    /// A voter is missing from the list of members.
    #[error("voter {0} is no member: give its address")]
    UnknownVoter(NodeId),
    /// A member has no address.
    #[error("member {0} has an empty address: say where it is reached")]
    NoAddress(NodeId),
    /// A priority was given to somebody who does not belong to the group.
    #[error("node {0} is no member, so it can have no priority: name one of the members")]
    UnknownMember(NodeId),
    /// The same node is listed twice.
    #[error("node {0} is listed twice: name it once")]
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

    /// Which life of `node` votes, if that is written down.
    pub fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.members.get(&node)?.incarnation
    }

    /// Whether this life of `node` is the one that is written down.
    pub fn admits(&self, node: NodeId, life: Incarnation) -> bool {
        self.incarnation(node) == Some(life)
    }

    /// The voters of which it is not written down yet which life they are.
    pub fn unrecorded(&self) -> impl Iterator<Item = NodeId> {
        let voters = self.voters.union(&self.outgoing).copied();
        voters.filter(|voter| self.incarnation(*voter).is_none())
    }

    /// The same group, with these lives of its voters written down. For tests, and for tools that
    /// know them: a group that is founded learns them by itself.
    #[must_use]
    pub fn with_incarnations<N, L>(&self, lives: impl IntoIterator<Item = (N, L)>) -> Self
    where
        N: Into<NodeId>,
        L: Into<Incarnation>,
    {
        let lives = lives.into_iter();
        let lives: BTreeMap<NodeId, Incarnation> = lives
            .map(|(node, life)| (node.into(), life.into()))
            .collect();
        self.recording(|node| lives.get(&node).copied())
            .unwrap_or_else(|| self.clone())
    }

    /// The same group, in which nobody was met yet.
    pub(crate) fn without_incarnations(mut self) -> Self {
        let goal = self.goal.iter_mut();
        let aims = goal.flat_map(|goal| goal.members.values_mut());
        for member in self.members.values_mut().chain(aims) {
            member.incarnation = None;
        }
        self
    }

    /// Whether nobody was met yet: a group is founded with such a membership, or recovered.
    pub(crate) fn is_founding(&self) -> bool {
        let mut members = self.members.values();
        members.all(|member| member.incarnation.is_none())
    }

    /// The same group, with what `life_of` knows of voters that are not written down. `None` if
    /// that is nothing.
    pub(crate) fn recording(
        &self,
        life_of: impl Fn(NodeId) -> Option<Incarnation>,
    ) -> Option<Self> {
        let known = self
            .unrecorded()
            .filter_map(|voter| Some((voter, life_of(voter)?)));
        let known: Vec<(NodeId, Incarnation)> = known.collect();
        let mut step = self.clone();
        for (voter, life) in &known {
            record(&mut step.members, *voter, *life);
            if let Some(goal) = step
                .goal
                .as_mut()
                .filter(|goal| goal.voters.contains(voter))
            {
                record(&mut goal.members, *voter, *life);
            }
        }
        (!known.is_empty()).then_some(step)
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
        let step = Self {
            members: self.members_toward(&goal),
            goal: Some(goal),
            ..self.clone()
        };
        if step.joining().is_empty() {
            step.next_step(|_| None).unwrap_or(step)
        } else {
            step
        }
    }

    /// A step that only says where the group goes: toward `end`, or where that is on its way to, with
    /// every vote as it is.
    pub(crate) fn announcing(&self, end: Self) -> Self {
        let goal = end.goal.unwrap_or(Goal {
            voters: end.voters,
            members: end.members,
        });
        Self {
            members: self.members_toward(&goal),
            goal: Some(goal),
            ..self.clone()
        }
    }

    /// Everyone on the way to `goal`. Who is to lose its vote keeps it until then, and with it the
    /// life that is written down.
    fn members_toward(&self, goal: &Goal) -> BTreeMap<NodeId, Member> {
        let mut members = self.members.clone();
        for (id, member) in &goal.members {
            let mut member = member.clone();
            if self.is_voter(*id) && !goal.voters.contains(id) {
                member.incarnation = self.incarnation(*id);
            }
            members.insert(*id, member);
        }
        members
    }

    /// The next step toward the goal, once this one is committed and whoever joins has caught up.
    /// `None` if the goal is reached. Who gets a vote gets it for the life that `life_of` tells: the
    /// one that has caught up.
    pub(crate) fn next_step(
        &self,
        life_of: impl Fn(NodeId) -> Option<Incarnation>,
    ) -> Option<Self> {
        let mut members = self.members.clone();
        let mut goal = self.goal.clone()?;
        for (joining, life) in self
            .joining()
            .into_iter()
            .filter_map(|node| Some((node, life_of(node)?)))
        {
            record(&mut members, joining, life);
            record(&mut goal.members, joining, life);
        }
        let is_single = self.voters.symmetric_difference(&goal.voters).count() <= 1;
        if self.is_joint() || is_single {
            return Some(Self {
                voters: goal.voters,
                outgoing: BTreeSet::new(),
                members: goal.members,
                goal: None,
            });
        }
        Some(Self {
            voters: goal.voters.clone(),
            outgoing: self.voters.clone(),
            members,
            goal: Some(goal),
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
    /// A member that is wanted as leader as much as any other, and that nobody has met.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            priority: Priority::default(),
            incarnation: None,
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

/// Writes down which life of `node` has a vote.
fn record(members: &mut BTreeMap<NodeId, Member>, node: NodeId, life: Incarnation) {
    if let Some(member) = members.get_mut(&node) {
        member.incarnation = Some(life);
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
