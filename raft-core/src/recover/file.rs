//! The new membership as a file that a person writes.

use serde::{Deserialize, Serialize};

use crate::id::NodeId;
use crate::membership::{Membership, MembershipError};

/// A list of members, for instance in JSON:
///
/// ```json
/// [
///   { "id": 1, "address": "a.example:7000", "voter": true },
///   { "id": 4, "address": "d.example:7000", "voter": true },
///   { "id": 5, "address": "e.example:7000", "voter": false }
/// ]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MembershipFile(pub Vec<FileMember>);

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileMember {
    /// The node.
    pub id: NodeId,
    /// Where its transport listens.
    pub address: String,
    /// Whether it votes; otherwise it is a learner. Default: it votes.
    #[serde(default = "votes")]
    pub voter: bool,
}

impl MembershipFile {
    /// The membership that the file describes.
    ///
    /// # Errors
    /// [`MembershipError`] if nobody votes, a node is listed twice, or an address is empty.
    pub fn membership(&self) -> Result<Membership, MembershipError> {
        let named = |member: &FileMember| (member.id, member.address.clone());
        let (voters, learners): (Vec<_>, Vec<_>) = self.0.iter().partition(|member| member.voter);
        Membership::new(
            voters.into_iter().map(named),
            learners.into_iter().map(named),
        )
    }
}

fn votes() -> bool {
    true
}
