//! Majorities, of one set of voters or of two (joint consensus). Knows nothing of Raft.

use super::mutant::{Mutant, mutant};
use std::collections::BTreeSet;

use crate::id::NodeId;
use crate::membership::Membership;

/// The greatest value that a majority of the voters has reached; in a joint membership, a majority
/// of each half (thesis §4.3).
///
/// With indexes this is what may be committed, with rounds what is confirmed, with times since
/// when a quorum is in contact, and with `bool` whether a majority says yes.
pub(super) fn agreed<T: Ord + Copy>(
    membership: &Membership,
    value_of: impl Fn(NodeId) -> T,
) -> Option<T> {
    if mutant(Mutant::LearnersCount) {
        return majority(&membership.members().keys().copied().collect(), &value_of);
    }
    let incoming = majority(membership.voters(), &value_of);
    if mutant(Mutant::OldHalfForgotten) {
        return incoming;
    }
    match majority(membership.outgoing(), &value_of) {
        Some(outgoing) if mutant(Mutant::OneHalfSuffices) => {
            incoming.map(|value| value.max(outgoing))
        }
        Some(outgoing) => incoming.map(|value| value.min(outgoing)),
        None => incoming,
    }
}

/// Whether a majority (of each half) says yes.
pub(super) fn has_majority(membership: &Membership, says_yes: impl Fn(NodeId) -> bool) -> bool {
    if mutant(Mutant::WinsWithHalf) {
        let voters = membership.voters();
        let yes = voters.iter().filter(|voter| says_yes(**voter)).count();
        return yes * 2 >= voters.len();
    }
    agreed(membership, says_yes).unwrap_or(false)
}

fn majority<T: Ord + Copy>(
    voters: &BTreeSet<NodeId>,
    value_of: &impl Fn(NodeId) -> T,
) -> Option<T> {
    let mut values: Vec<T> = voters.iter().map(|voter| value_of(*voter)).collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    // Of n voters, n / 2 + 1 are a majority: the value at this rank is reached by all before it.
    if mutant(Mutant::LowMedian) {
        return values.get((voters.len() / 2).saturating_sub(1)).copied();
    }
    values.get(voters.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(voters: u64) -> Membership {
        Membership::of_voters((1..=voters).map(|id| (id, "a"))).unwrap()
    }

    #[test]
    fn a_value_is_agreed_when_more_than_half_have_reached_it() {
        for voters in 1..=9_u64 {
            for reached in 0..=voters {
                let agreed = agreed(&group(voters), |id| u64::from(id.get() <= reached));
                let majority = reached * 2 > voters;
                assert_eq!(agreed, Some(u64::from(majority)), "{reached} of {voters}");
            }
        }
    }

    #[test]
    fn the_agreed_value_is_the_median_or_the_one_below_it() {
        let matched = [5, 9, 2, 7];
        let value = |id: NodeId| matched[usize::try_from(id.get()).unwrap() - 1];
        assert_eq!(agreed(&group(3), value), Some(5));
        assert_eq!(agreed(&group(4), value), Some(5));
    }
}
