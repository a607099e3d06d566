//! What stores that began anew remember of those that were damaged.

use serde::{Deserialize, Serialize};

use crate::hard_state::Identity;
use crate::id::Incarnation;

/// The lives of a node whose stores were found damaged. They are over: what they had promised nobody
/// remembers, so nobody may speak for them. The node goes on as another life, with stores that began
/// anew, gets from the others what it lost, and keeps out of elections where its name would stand for what
/// it has forgotten, until the group has written its new life down.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FormerLives {
    /// Whose the damaged data was, if that could still be read.
    pub identity: Option<Identity>,
    /// Lives before that one: their stores were damaged too, and the group may not have learnt yet
    /// that they are over.
    pub earlier: Vec<Incarnation>,
    /// Which lives there were could not be read: every other one is over.
    pub unknown: bool,
    /// What was found damaged, for people.
    pub reason: String,
    /// The group counts the new life: nothing of this matters any more.
    pub is_repaired: bool,
}

/// As many earlier lives are listed. Beyond that, every other life is over.
const EARLIER_MAX: usize = 16;

impl FormerLives {
    /// Stores are damaged that belong to `identity` and remember `before`, each `None` if it cannot
    /// be read, or was never there.
    pub fn new(
        identity: Option<Identity>,
        before: Option<Self>,
        reason: impl Into<String>,
    ) -> Self {
        let mut earlier = Vec::new();
        let mut unknown = identity.is_none();
        // Whose they are does not change, even if nobody has said so since they began anew.
        let whose = before.as_ref().and_then(|before| before.identity);
        let before = before.filter(|before| !before.is_repaired);
        if let Some(before) = before {
            earlier = before.earlier;
            earlier.extend(before.identity.map(|identity| identity.incarnation));
            unknown |= before.unknown || earlier.len() > EARLIER_MAX;
        }
        Self {
            identity: identity.or(whose),
            earlier,
            unknown,
            reason: reason.into(),
            is_repaired: false,
        }
    }

    /// Whether `life`, another one of this node, is known to be over.
    pub fn include(&self, life: Incarnation) -> bool {
        let latest = self.identity.map(|identity| identity.incarnation);
        self.unknown || latest == Some(life) || self.earlier.contains(&life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClusterId, GroupId, NodeId, RecoveryEpoch};

    fn identity(life: u64) -> Identity {
        Identity {
            cluster: ClusterId::new(1),
            group: GroupId::new(0),
            node: NodeId::new(3),
            incarnation: Incarnation::new(life),
            epoch: RecoveryEpoch::default(),
        }
    }

    fn over(lives: &FormerLives) -> Vec<u64> {
        let numbers = 1..=4;
        let is_over = |life: &u64| lives.include(Incarnation::new(*life));
        numbers.filter(is_over).collect()
    }

    #[test]
    fn damage_during_a_repair_forgets_none_of_the_lives_before() {
        let first = FormerLives::new(Some(identity(1)), None, "");
        let second = FormerLives::new(Some(identity(2)), Some(first.clone()), "");
        assert_eq!((over(&first), over(&second)), (vec![1], vec![1, 2]));
        let repaired = FormerLives {
            is_repaired: true,
            ..second
        };
        let third = FormerLives::new(Some(identity(3)), Some(repaired), "");
        assert_eq!(over(&third), [3]);
    }

    #[test]
    fn whose_the_stores_are_is_not_forgotten_by_damage_before_they_say_so_again() {
        let first = FormerLives::new(Some(identity(1)), None, "");
        let second = FormerLives::new(None, Some(first), "");
        assert_eq!((second.identity, second.unknown), (Some(identity(1)), true));
    }

    #[test]
    fn where_nothing_could_be_read_every_other_life_is_over() {
        let unknown = FormerLives::new(None, None, "");
        assert_eq!(over(&unknown), [1, 2, 3, 4]);
        let later = FormerLives::new(Some(identity(2)), Some(unknown), "");
        assert_eq!(over(&later), [1, 2, 3, 4]);
    }
}
