//! Where a search begins: the disks of the nodes, and what is known of how they came to be so.

use super::action::{address, node_at};
use super::bounds::Bounds;
use super::node::Node;
use crate::entry::{Entry, Payload, Sealed};
use crate::hard_state::HardState;
use crate::id::{ChainLink, Incarnation, NodeId, Term};
use crate::membership::Membership;
use crate::sim::check::{Broken, Checks};
use crate::sim::disk::Image;
use crate::time::ClusterTime;

/// Where a search begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// A group that has done nothing yet: every log holds the membership, and nothing else.
    #[default]
    New,
    /// Two leaders have each left an entry at index 2 in their own logs, and nowhere else: the first
    /// node, which led term 2, and the last, which led term 3 with the votes of all others (thesis
    /// figure 3.7, b). All have just been restarted. With fewer than three nodes it is the same as
    /// [`Start::New`].
    TwoRivals,
}

/// What a node begins with.
struct Begun {
    log: Vec<Entry>,
    hard_state: HardState,
}

impl Start {
    /// The nodes, and what the checkers know of their past.
    pub(super) fn nodes(self, bounds: &Bounds) -> Result<(Vec<Node>, Checks), Broken> {
        let mut checks = Checks::default();
        let mut nodes = Vec::new();
        for place in 0..bounds.nodes {
            let Begun { log, hard_state } = self.begun(place, bounds);
            let id = node_at(place);
            checks.appended(&log)?;
            if let Some(candidate) = hard_state.vote {
                let life = Incarnation::new(id.get());
                checks.voted((id, life), hard_state.term, candidate)?;
            }
            let mut disk = Image::bootstrapped(log);
            disk.durable_mut().hard_state = hard_state;
            nodes.push(Node::start(id, &bounds.config(), disk)?);
        }
        if let Some([(first_term, first), (last_term, last)]) = self.rivals(bounds) {
            checks.elected(first_term, first)?;
            checks.elected(last_term, last)?;
        }
        Ok((nodes, checks))
    }

    /// Whether all nodes are alike.
    pub(super) fn is_uniform(self, bounds: &Bounds) -> bool {
        self.rivals(bounds).is_none()
    }

    /// Who has led which term.
    fn rivals(self, bounds: &Bounds) -> Option<[(Term, NodeId); 2]> {
        let is_rivalry = self == Self::TwoRivals && bounds.nodes >= 3;
        is_rivalry.then(|| {
            let (first, last) = (node_at(0), node_at(bounds.nodes - 1));
            [(FIRST_TERM, first), (LAST_TERM, last)]
        })
    }

    fn begun(self, place: u8, bounds: &Bounds) -> Begun {
        let mut log = first_log(bounds);
        let Some([_, (last_term, last)]) = self.rivals(bounds) else {
            let hard_state = HardState::default();
            return Begun { log, hard_state };
        };
        // The first has heard of the later term, and was not asked for its vote in it.
        let vote = (place > 0).then_some(last);
        let led = match place {
            0 => Some(FIRST_TERM),
            _ if node_at(place) == last => Some(LAST_TERM),
            _ => None,
        };
        let before = log.last().map_or(ChainLink::ORIGIN, Entry::link);
        log.extend(
            led.map(|term| {
                Entry::new(before, term, ClusterTime::ZERO, Sealed::new(Payload::Blank))
            }),
        );
        let term = last_term;
        let hard_state = HardState { term, vote };
        Begun { log, hard_state }
    }
}

const FIRST_TERM: Term = Term::new(2);
const LAST_TERM: Term = Term::new(3);

/// The membership that the group begins with.
fn first_log(bounds: &Bounds) -> Vec<Entry> {
    let voters = (0..bounds.nodes).map(|place| (node_at(place), address(place)));
    let membership = Membership::of_voters(voters).unwrap_or_else(|_| Membership::nobody());
    // All have met: no disk is lost here, and to meet takes steps.
    let lives = (0..bounds.nodes).map(|place| (node_at(place), node_at(place).get()));
    let membership = membership.with_incarnations(lives);
    let payload = Payload::membership(membership);
    let entry = payload.map(|payload| {
        let sealed = Sealed::new(payload);
        Entry::new(ChainLink::ORIGIN, Term::new(1), ClusterTime::ZERO, sealed)
    });
    entry.into_iter().collect()
}
