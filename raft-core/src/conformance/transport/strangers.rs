//! Properties of strangers: nodes that do not belong together never hear each other (RULES 20, 21).

use super::backend::{TransportBackend, Verdict};
use super::ends::Setup;
use super::make::{append, heartbeat};
use super::running::run;
use super::sending::{Source, State};
use crate::hard_state::Identity;
use crate::id::{ClusterId, GroupId, NodeId, RecoveryEpoch};
use crate::membership::Peer;

/// Two clusters that were given each other's addresses.
pub fn another_cluster_is_not_heard(backend: &mut dyn TransportBackend) -> Verdict {
    is_not_heard(backend, |local| {
        local.cluster = ClusterId::from_name("another");
    })
}

/// Two groups of a cluster.
pub fn another_group_is_not_heard(backend: &mut dyn TransportBackend) -> Verdict {
    is_not_heard(backend, |local| local.group = GroupId::new(8))
}

/// A node that slept through the recovery of its group.
pub fn the_time_before_a_recovery_is_not_heard(backend: &mut dyn TransportBackend) -> Verdict {
    is_not_heard(backend, |local| local.epoch = RecoveryEpoch::new(1))
}

/// The address of one node under the name of another, as after a machine was given away.
pub fn a_message_for_another_node_is_not_delivered(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let (mut two, mut friend) = (net.end(2), net.end(4));
        let wrong = misnamed(&two.peer());
        for _ in 0..ROUNDS {
            one.voice.say(&wrong, heartbeat());
            one.voice.say(&wrong, append(100));
            one.voice.tell(&mut friend, heartbeat()).await;
            one.voice.tell(&mut friend, append(100)).await;
        }
        let (source, ..) = Source::of(State::of(10_000));
        let id = one.voice.send_snapshot(&wrong, source);
        let outcome = one.outcome(&wrong, id).await;
        assert!(outcome.is_err(), "a snapshot for node 3 was sent to node 2");
        one.voice.tell(&mut two, append(100)).await;
        two.stop().await;
        // Whatever was not meant for node 2 is noticed here.
        two.drain();
        assert_eq!(
            two.shelf.finished(),
            [],
            "node 2 took a snapshot for node 3"
        );
        Verdict::Held
    })
}

/// Its sender is told, whichever of the two began.
pub fn a_snapshot_of_a_stranger_is_refused(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let other = |local: &mut Identity| local.cluster = ClusterId::from_name("another");
        let mut stranger = net.start(Setup::of(2).named(other));
        let (ours, theirs) = (one.peer(), stranger.peer());
        for (from, to) in [(&mut one, theirs), (&mut stranger, ours)] {
            let (source, ..) = Source::of(State::of(1 << 20));
            let id = from.voice.send_snapshot(&to, source);
            let outcome = from.outcome(&to, id).await;
            assert!(outcome.is_err(), "a stranger took a snapshot");
        }
        for end in [&one, &stranger] {
            assert_eq!(end.shelf.finished(), [], "a snapshot of a stranger arrived");
        }
        Verdict::Held
    })
}

/// How often each tries to be heard.
const ROUNDS: usize = 50;

/// Node 2 and its relative, node 3, are strangers to node 1 and its friend, node 4. What goes from 2
/// to 3 has the same way to go as what goes from 2 to 1: it shows that there was time to arrive.
fn is_not_heard(backend: &mut dyn TransportBackend, differs: fn(&mut Identity)) -> Verdict {
    run(backend, async |net| {
        let (one, mut friend) = (net.end(1), net.end(4));
        let stranger = net.start(Setup::of(2).named(differs));
        let mut relative = net.start(Setup::of(3).named(differs));
        for _ in 0..ROUNDS {
            for body in [heartbeat(), append(100)] {
                stranger.voice.say(&one.peer(), body.clone());
                one.voice.say(&stranger.peer(), body.clone());
                stranger.voice.tell(&mut relative, body.clone()).await;
                one.voice.tell(&mut friend, body).await;
            }
        }
        for mut end in [one, friend, stranger, relative] {
            end.stop().await;
            // Whatever comes from a stranger is noticed here.
            end.drain();
        }
        Verdict::Held
    })
}

/// Node 3 at the address of `peer`.
fn misnamed(peer: &Peer) -> Peer {
    Peer {
        id: NodeId::new(3),
        address: peer.address.clone(),
    }
}
