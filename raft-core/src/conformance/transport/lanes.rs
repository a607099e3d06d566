//! Properties of lanes: nothing large holds up what must be quick, and nobody holds up others.

use std::thread;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::backend::{TransportBackend, Verdict};
use super::ends::{Setup, Voice};
use super::make::{self, append, append_of, heartbeat};
use super::receiving::Shelf;
use super::running::run;
use super::sending::{Source, State};
use crate::id::Term;
use crate::membership::Peer;

/// [`TransportBackend::snapshot_bytes`] in all. Again and again its receiver stops writing until a
/// heartbeat has passed in each direction, and others pass while it writes.
pub fn heartbeats_pass_while_a_huge_snapshot_is_under_way(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    const HALTS: u64 = 16;
    run(backend, async |net| {
        let state = State::of(net.snapshot_bytes());
        let (shelf, mut valve) = Shelf::forgetting(state.size / HALTS);
        let mut one = net.end(1);
        let mut two = net.start(Setup::of(2).with_shelf(shelf.clone()));
        let (source, ..) = Source::of(state);
        let id = one.voice.send_snapshot(&two.peer(), source);
        for halt in 1..HALTS {
            let at = state.size / HALTS * halt;
            let what = format!("byte {at} of a snapshot of {} arrives", state.size);
            net.patience().wait(valve.reached(at), &what).await;
            one.voice.tell(&mut two, heartbeat()).await;
            two.voice.tell(&mut one, heartbeat()).await;
            valve.open_to(state.size / HALTS * (halt + 1));
            one.voice.tell(&mut two, heartbeat()).await;
        }
        drop(valve);
        let outcome = one.outcome(&two.peer(), id).await;
        assert_eq!(outcome, Ok(()), "the snapshot was not sent");
        shelf.assert_holds(state);
        Verdict::Held
    })
}

/// RULE 7: entries that a node does not take are not in the way of heartbeats.
pub fn heartbeats_pass_a_receiver_that_takes_no_entries(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let (mut one, mut two) = (net.end(1), net.start(full()));
        flood(&one.voice, &two.peer(), FLOOD_BYTES).await;
        for _ in 0..20 {
            one.voice.tell(&mut two, heartbeat()).await;
            two.voice.tell(&mut one, heartbeat()).await;
        }
        two.drain();
        one.voice.tell(&mut two, append(10)).await;
        Verdict::Held
    })
}

/// A disk that takes no more of a snapshot takes entries.
pub fn entries_pass_while_a_snapshot_is_held_up(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (shelf, mut valve) = Shelf::keeping(100_000);
        let mut one = net.end(1);
        let mut two = net.start(Setup::of(2).with_shelf(shelf));
        let (source, ..) = Source::of(State::of(LARGE));
        let id = one.voice.send_snapshot(&two.peer(), source);
        let what = "the first bytes of a snapshot arrive";
        net.patience().wait(valve.reached(100_000), what).await;
        for bytes in [10, 100_000, 500_000] {
            one.voice.tell(&mut two, append(bytes)).await;
        }
        drop(valve);
        assert_eq!(one.outcome(&two.peer(), id).await, Ok(()));
        Verdict::Held
    })
}

/// The way back to a node that is behind must not need its inbox.
pub fn a_snapshot_passes_a_receiver_that_takes_no_entries(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let (mut one, mut two) = (net.end(1), net.start(full()));
        flood(&one.voice, &two.peer(), FLOOD_BYTES).await;
        let (source, ..) = Source::of(State::of(LARGE));
        let id = one.voice.send_snapshot(&two.peer(), source);
        assert_eq!(one.outcome(&two.peer(), id).await, Ok(()));
        two.received().await;
        Verdict::Held
    })
}

/// Neither as a receiver of the same sender nor as a sender itself.
pub fn a_peer_that_takes_nothing_holds_up_no_other(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (mut one, mut two, mut three) = (net.end(1), net.start(full()), net.end(3));
        for voice in [&one.voice, &three.voice] {
            flood(voice, &two.peer(), FLOOD_BYTES).await;
        }
        one.voice.tell(&mut three, append(100_000)).await;
        one.voice.tell(&mut three, heartbeat()).await;
        three.voice.tell(&mut two, heartbeat()).await;
        two.voice.tell(&mut one, append(100_000)).await;
        Verdict::Held
    })
}

/// The event loop calls it. What there is no room for is dropped.
pub fn sending_never_waits(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (one, two) = (net.end(1), net.start(full()));
        let (voice, peer) = (one.voice.clone(), two.peer());
        let (done, sent) = oneshot::channel();
        let (runtime, bytes) = (Handle::current(), 2 * net.held_bytes_max());
        // On a thread of its own, which is left behind if it waits.
        let sending = thread::Builder::new().name("sends without end".into());
        let sending = sending.spawn(move || {
            let _runtime = runtime.enter();
            for body in pieces(bytes) {
                voice.say(&peer, body);
            }
            done.send(())
        });
        drop(sending.expect("a thread"));
        let what = "every call of send returns, though the receiver takes nothing";
        let sent = net.patience().wait(sent, what).await;
        sent.expect("the thread that sends");
        Verdict::Held
    })
}

/// No more than [`TransportBackend::held_bytes_max`] is on its way, in whatever queue. Seen from its
/// end: once the receiver takes entries again, no more arrive than were held.
pub fn a_peer_that_takes_nothing_costs_bounded_memory(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let (one, mut two) = (net.end(1), net.start(full()));
        let held_max = net.held_bytes_max();
        let before = one.voice.newest();
        flood(&one.voice, &two.peer(), 3 * held_max).await;
        let after = one.voice.newest();
        two.drain();
        one.voice.tell(&mut two, append(10)).await;
        two.drain();
        let numbers = before.get() + 1..=after.get();
        let arrived = numbers.filter(|number| one.voice.times_arrived(Term::new(*number)) > 0);
        let held = arrived.count() * PIECE_BYTES;
        assert!(
            held <= held_max,
            "{held} bytes were held for a peer that takes nothing, the bound is {held_max}"
        );
        Verdict::Held
    })
}

/// Silent, but counted: every message arrives, or is counted by its sender.
pub fn what_is_dropped_is_counted(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (one, mut two) = (net.end(1), net.start(full()));
        if one.voice.endpoint.drop_count().is_none() {
            return Verdict::Skipped("count of dropped messages");
        }
        let before = one.voice.newest();
        flood(&one.voice, &two.peer(), 2 * net.held_bytes_max()).await;
        let after = one.voice.newest();
        let sent = after.get() - before.get();
        let counted = || one.voice.endpoint.drop_count().unwrap_or(0);
        let arrived = || {
            let numbers = before.get() + 1..=after.get();
            let arrived = numbers.filter(|number| one.voice.times_arrived(Term::new(*number)) > 0);
            arrived.count() as u64
        };
        let all = async {
            while arrived() + counted() < sent {
                two.next_entries().await;
            }
        };
        let what = format!("each of {sent} messages arrives or is counted");
        net.patience().wait(all, &what).await;
        let (arrived, counted) = (arrived(), counted());
        assert_eq!(
            arrived + counted,
            sent,
            "{sent} messages were sent, {arrived} arrived and {counted} were dropped"
        );
        assert!(counted > 0, "a peer that takes nothing was sent everything");
        Verdict::Held
    })
}

/// More than sockets and their buffers hold.
const LARGE: u64 = 24 << 20;
/// More than what fits into the inbox of [`full`], many times.
const FLOOD_BYTES: usize = 16 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// A node whose inbox is full after one message of entries.
fn full() -> Setup {
    Setup::of(2).with_inbox(1_000)
}

/// Sends so many bytes of entries, and lets the transport work in between.
async fn flood(voice: &Voice, to: &Peer, bytes: usize) {
    for body in pieces(bytes) {
        voice.say(to, body);
        tokio::task::yield_now().await;
    }
}

/// Entries of so many bytes in all, which share one payload.
fn pieces(bytes: usize) -> impl Iterator<Item = crate::message::Body> {
    let body = append_of(make::payload(PIECE_BYTES));
    std::iter::repeat_n(body, bytes / PIECE_BYTES)
}
