//! Properties of messages: what arrives is what was sent, whatever its kind and size.

use super::backend::{TransportBackend, Verdict};
use super::ends::{End, Setup};
use super::make::{self, APPEND_BYTES, append, heartbeat, propose};
use super::running::run;
use crate::membership::Peer;
use crate::message::MESSAGE_BYTES;

/// Also with nothing in it, also with the largest numbers.
pub fn every_kind_of_message_arrives_as_it_was_sent(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let mut two = net.end(2);
        for body in make::bodies() {
            one.voice.tell(&mut two, body).await;
        }
        Verdict::Held
    })
}

/// Many of both lanes to two nodes, one of which restarts: whatever arrives was sent, to that node.
pub fn nothing_arrives_that_was_not_sent(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let (mut two, mut three) = (net.end(2), net.end(3));
        for round in 1..=3 {
            for number in 1..=100 {
                for end in [&two, &three] {
                    one.voice.say(&end.peer(), heartbeat());
                    one.voice.say(&end.peer(), append(round * number * 37));
                    one.voice.say(&end.peer(), propose(number));
                }
                tokio::task::yield_now().await;
            }
            for end in [&mut two, &mut three] {
                one.voice.tell(end, heartbeat()).await;
                one.voice.tell(end, append(5)).await;
                end.drain();
            }
            two = net.restart(two).await;
        }
        Verdict::Held
    })
}

/// Neither direction waits for the other.
pub fn messages_pass_both_ways_at_once(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (mut one, mut two) = (net.end(1), net.end(2));
        let (first, second) = (one.voice.clone(), two.voice.clone());
        for bytes in (0..200_000).step_by(1_000) {
            first.say(&two.peer(), append(bytes));
            second.say(&one.peer(), append(bytes));
            tokio::task::yield_now().await;
        }
        let there = first.tell(&mut two, append(7));
        let back = second.tell(&mut one, append(7));
        tokio::join!(there, back);
        let there = first.tell(&mut two, heartbeat());
        let back = second.tell(&mut one, heartbeat());
        tokio::join!(there, back);
        Verdict::Held
    })
}

/// What a transport gives as its address is what others reach it at.
pub fn the_local_address_can_be_dialed(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let mut two = net.end(2);
        let Some(address) = two.voice.endpoint.transport().local_address() else {
            return Verdict::Skipped("local address");
        };
        let id = two.voice.local.node;
        let peer = Peer { id, address };
        one.voice.tell_at(&peer, &mut two, heartbeat()).await;
        one.voice.tell_at(&peer, &mut two, append(10)).await;
        Verdict::Held
    })
}

/// Twenty-four peers, each on both lanes and both ways.
pub fn many_peers_are_reached_and_answer(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut centre = net.end(1);
        let mut others: Vec<End> = (2..=25).map(|node| net.end(node)).collect();
        for other in &others {
            centre.voice.say(&other.peer(), heartbeat());
            centre.voice.say(&other.peer(), append(1_000));
        }
        for other in &mut others {
            centre.voice.tell(other, heartbeat()).await;
            centre.voice.tell(other, append(1_000)).await;
            other.voice.tell(&mut centre, heartbeat()).await;
            other.voice.tell(&mut centre, append(1_000)).await;
        }
        Verdict::Held
    })
}

/// Exactly as large as the transport says it carries, or 64 MiB if it carries any size.
pub fn a_message_at_the_limit_arrives(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let mut two = net.end(2);
        let limit = one.voice.endpoint.transport().message_bytes_max();
        let limit = limit.unwrap_or(64 << 20);
        for body in bodies_of(limit) {
            let message = one.voice.message(&two.peer(), body.clone());
            assert_eq!(message.bytes(), limit, "the suite means to be at the limit");
            one.voice.tell(&mut two, body).await;
        }
        one.voice.tell(&mut two, append(10)).await;
        Verdict::Held
    })
}

/// One byte more than the transport says it carries. The connection lives on, and so does the lane.
pub fn a_message_over_the_limit_is_dropped_and_breaks_nothing(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let mut two = net.end(2);
        let Some(limit) = one.voice.endpoint.transport().message_bytes_max() else {
            return Verdict::Skipped("limit on messages");
        };
        one.voice.tell(&mut two, heartbeat()).await;
        one.voice.tell(&mut two, append(10)).await;
        let before = one.voice.endpoint.drop_count();
        for body in bodies_of(limit + 1) {
            let number = one.voice.say(&two.peer(), body);
            one.voice.tell(&mut two, append(10)).await;
            one.voice.tell(&mut two, heartbeat()).await;
            let arrived = one.voice.times_arrived(number);
            assert_eq!(
                arrived, 0,
                "a message over the limit of {limit} bytes arrived"
            );
        }
        if let (Some(before), Some(after)) = (before, one.voice.endpoint.drop_count()) {
            assert!(
                after >= before + 2,
                "two messages over the limit were not counted"
            );
        }
        one.drain();
        let broke = one.was_told_unreachable();
        assert!(!broke, "a message over the limit broke the connection");
        Verdict::Held
    })
}

/// The bound of an inbox never stops a single message, and its room is given back.
pub fn a_message_larger_than_the_inbox_passes_alone(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let mut two = net.start(Setup::of(2).with_inbox(10_000));
        for bytes in [500_000, 9_000, 500_000, 1] {
            one.voice.tell(&mut two, append(bytes)).await;
        }
        Verdict::Held
    })
}

/// An entry and a command that make messages of `bytes`.
fn bodies_of(bytes: usize) -> [crate::message::Body; 2] {
    const COMMAND_BYTES: usize = MESSAGE_BYTES + 8;
    let payload = |fixed| bytes.checked_sub(fixed);
    let room = payload(APPEND_BYTES).zip(payload(COMMAND_BYTES));
    let (entry, command) = room.expect("a limit with room for an entry");
    [append(entry), propose(command)]
}
