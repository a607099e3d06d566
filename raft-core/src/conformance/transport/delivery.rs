//! Properties of repetition and order, of transports that [promise](Delivery) more than the contract.

use super::backend::{Delivery, TransportBackend, Verdict};
use super::ends::End;
use super::make::{append, heartbeat, propose};
use super::running::run;

/// Also if its receiver restarts meanwhile, and whatever the lane.
pub fn a_message_arrives_once_at_most(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        if net.delivery() != Delivery::OnceInOrder {
            return Verdict::Skipped(PROMISE);
        }
        let (mut one, mut two) = (net.end(1), net.end(2));
        let before = one.voice.newest();
        for _ in 0..5 {
            exchange(&mut one, &mut two).await;
            two = net.restart(two).await;
        }
        exchange(&mut one, &mut two).await;
        one.voice.assert_once_since(before);
        Verdict::Held
    })
}

/// A small one does not overtake a large one, and neither direction mixes up the other.
pub fn messages_of_a_lane_arrive_in_the_order_in_which_they_were_sent(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        if net.delivery() != Delivery::OnceInOrder {
            return Verdict::Skipped(PROMISE);
        }
        let (mut one, mut two) = (net.end(1), net.end(2));
        let before = one.voice.newest();
        for _ in 0..5 {
            one.voice.say(&two.peer(), append(1 << 20));
            exchange(&mut one, &mut two).await;
        }
        one.voice.assert_in_order_since(before);
        Verdict::Held
    })
}

pub(super) const PROMISE: &str = "promise of repetition and order";

/// Both nodes say many messages of both lanes and many sizes, each of them once, and go on until each
/// lane has brought one.
pub(super) async fn exchange(one: &mut End, two: &mut End) {
    for number in 1..=MESSAGES {
        for (from, to) in [(&*one, two.peer()), (&*two, one.peer())] {
            from.voice.say(&to, heartbeat());
            from.voice.say(&to, append(number % 7 * 3_000));
            from.voice.say(&to, propose(number));
        }
        tokio::task::yield_now().await;
    }
    for body in [heartbeat(), append(10)] {
        one.voice.insist(two, &body).await;
        two.voice.insist(one, &body).await;
    }
    one.drain();
    two.drain();
}

/// How many of each kind.
const MESSAGES: usize = 40;
