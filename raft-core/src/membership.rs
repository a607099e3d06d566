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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Membership {
    voters: BTreeSet<NodeId>,
    outgoing: BTreeSet<NodeId>,
    members: BTreeMap<NodeId, Member>,
}

/// What the group knows of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where its transport listens, in the form that the transport understands (`host:port`).
    pub address: String,
}

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
        };
        for (id, address, votes) in voters.chain(learners) {
            if unchecked.members.insert(id, Member { address }).is_some() {
                return Err(MembershipError::Duplicate(id));
            }
            if votes {
                unchecked.voters.insert(id);
            }
        }
        unchecked.try_into()
    }

    /// What a node knows before it has heard of any membership. Elects nobody, is never stored.
    pub(crate) fn nobody() -> Self {
        Self {
            voters: BTreeSet::new(),
            outgoing: BTreeSet::new(),
            members: BTreeMap::new(),
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

    /// Where `node` is reached.
    pub fn peer(&self, node: NodeId) -> Option<Peer> {
        let member = self.members.get(&node)?;
        Some(Peer {
            id: node,
            address: member.address.clone(),
        })
    }

    /// Decodes what [`crate::entry::Payload::membership`] encoded.
    ///
    /// # Errors
    /// [`CodecError`] for anything else, a membership without voters included.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode("membership", bytes)
    }
}

impl TryFrom<Unchecked> for Membership {
    type Error = MembershipError;

    fn try_from(unchecked: Unchecked) -> Result<Self, MembershipError> {
        let Unchecked {
            voters,
            outgoing,
            members,
        } = unchecked;
        if voters.is_empty() {
            return Err(MembershipError::NoVoters);
        }
        for voter in voters.union(&outgoing) {
            if !members.contains_key(voter) {
                return Err(MembershipError::UnknownVoter(*voter));
            }
        }
        if let Some((id, _)) = members.iter().find(|(_, member)| member.address.is_empty()) {
            return Err(MembershipError::NoAddress(*id));
        }
        Ok(Self {
            voters,
            outgoing,
            members,
        })
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &mut dyn Iterator<Item = NodeId>| {
            ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
        };
        write!(f, "voters {}", list(&mut self.voters.iter().copied()))?;
        if self.is_joint() {
            write!(f, " outgoing {}", list(&mut self.outgoing.iter().copied()))?;
        }
        let mut learners = self
            .members
            .keys()
            .copied()
            .filter(|id| !self.is_voter(*id))
            .peekable();
        if learners.peek().is_some() {
            write!(f, " learners {}", list(&mut learners))?;
        }
        Ok(())
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
    }
}
