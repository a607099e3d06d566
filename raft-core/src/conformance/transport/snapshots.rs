//! Properties of snapshots: they arrive whole, or their sender is told that they did not.

use super::backend::{TransportBackend, Verdict};
use super::ends::{End, Setup};
use super::make::{append, heartbeat};
use super::receiving::Shelf;
use super::running::run;
use super::sending::{SENT_IN, Source, State};
use super::valve::Valve;

/// Byte for byte, from whom it was sent, in the term in which it was sent.
pub fn a_snapshot_arrives_whole_and_both_nodes_are_told(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        arrives(&mut net.end(1), &mut net.end(2), State::of(5_000_003)).await;
        Verdict::Held
    })
}

/// A machine may have nothing to say.
pub fn an_empty_snapshot_arrives(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        arrives(&mut net.end(1), &mut net.end(2), State::of(0)).await;
        Verdict::Held
    })
}

/// One node sends to three, and one of these sends back.
pub fn several_snapshots_arrive_at_once(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let mut others = [net.end(2), net.end(3), net.end(4)];
        let state = |end: &End| State {
            size: 4 << 20,
            index: 20 + end.voice.local.node.get(),
        };
        let mut sent = Vec::new();
        for other in &others {
            let (source, ..) = Source::of(state(other));
            let id = one.voice.send_snapshot(&other.peer(), source);
            sent.push((other.peer(), id));
        }
        let (source, ..) = Source::of(State::of(3 << 20));
        let [two, ..] = &mut others;
        let back = two.voice.send_snapshot(&one.peer(), source);
        for (peer, id) in sent {
            assert_eq!(one.outcome(&peer, id).await, Ok(()), "to node {}", peer.id);
        }
        assert_eq!(two.outcome(&one.peer(), back).await, Ok(()), "the way back");
        one.shelf.assert_holds(State::of(3 << 20));
        for other in &mut others {
            other.received().await;
            other.shelf.assert_holds(state(other));
        }
        Verdict::Held
    })
}

/// By a slow disk at its sender, or at its receiver.
pub fn a_snapshot_that_is_held_up_holds_up_no_other(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let state = State::of(12 << 20);
        let (shelf, mut takes_nothing) = Shelf::keeping(100_000);
        let (mut reads_nothing, pipe) = Valve::new(1 << 20);
        let mut one = net.end(1);
        let (two, mut three) = (net.end(2), net.end(3));
        let four = net.start(Setup::of(4).with_shelf(shelf));
        let (source, ..) = Source::of(state);
        let halts = one.voice.send_snapshot(&two.peer(), source.through(pipe));
        let (source, ..) = Source::of(state);
        one.voice.send_snapshot(&four.peer(), source);
        let what = "the first bytes of a snapshot are read";
        net.patience()
            .wait(reads_nothing.reached(1 << 20), what)
            .await;
        let what = "the first bytes of a snapshot arrive";
        net.patience()
            .wait(takes_nothing.reached(100_000), what)
            .await;
        arrives(&mut one, &mut three, state).await;
        drop((takes_nothing, reads_nothing));
        for held_up in [&two, &four] {
            assert_eq!(one.outcome(&held_up.peer(), halts).await, Ok(()));
            held_up.shelf.assert_holds(state);
        }
        Verdict::Held
    })
}

/// A leader that cannot read its snapshot has to know (RULES part two 46).
pub fn a_failing_reader_is_told_as_not_sent(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let state = State::of(3 << 20);
        let (mut one, mut two) = (net.end(1), net.end(2));
        for fails_at in [0, 2_000_000] {
            let (source, ..) = Source::of(state);
            fails(
                &mut one,
                &two,
                source.failing_at(fails_at),
                "its reader failed",
            )
            .await;
        }
        arrives(&mut one, &mut two, state).await;
        Verdict::Held
    })
}

/// Fewer, or altered on their way (RULES 98).
pub fn bytes_that_are_not_the_announced_ones_are_told_as_not_sent(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let state = State::of(3 << 20);
        let (mut one, mut two) = (net.end(1), net.end(2));
        for ends_at in [0, state.size - 1] {
            let (source, ..) = Source::of(state);
            fails(
                &mut one,
                &two,
                source.ending_at(ends_at),
                "it was not all there",
            )
            .await;
        }
        let (source, ..) = Source::of(state);
        fails(
            &mut one,
            &two,
            source.with_a_wrong_checksum(),
            "its bytes were wrong",
        )
        .await;
        arrives(&mut one, &mut two, state).await;
        Verdict::Held
    })
}

/// The sender is told, and the other lanes go on (RULES part two 1, 28).
pub fn a_receiver_that_cannot_write_is_told_as_not_sent(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let (shelf, _open) = Shelf::failing_at(300_000);
        let mut one = net.end(1);
        let mut two = net.start(Setup::of(2).with_shelf(shelf));
        let (source, ..) = Source::of(State::of(20 << 20));
        fails(&mut one, &two, source, "its receiver has no room").await;
        one.voice.tell(&mut two, heartbeat()).await;
        one.voice.tell(&mut two, append(100)).await;
        Verdict::Held
    })
}

/// Nobody is there to take it.
pub fn a_snapshot_to_an_absent_node_is_told_as_not_sent(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let two = net.end(2);
        two.stop().await;
        let (source, ..) = Source::of(State::of(100));
        fails(&mut one, &two, source, "its receiver has stopped").await;
        Verdict::Held
    })
}

async fn arrives(one: &mut End, two: &mut End, state: State) {
    let (source, ..) = Source::of(state);
    let id = one.voice.send_snapshot(&two.peer(), source);
    let (from, term, meta) = two.received().await;
    let expected = (one.voice.local.node, SENT_IN, state.meta());
    assert_eq!((from, term, meta), expected, "what the receiver is told");
    let outcome = one.outcome(&two.peer(), id).await;
    assert_eq!(outcome, Ok(()), "what the sender is told");
    two.shelf.assert_holds(state);
}

async fn fails(one: &mut End, two: &End, source: Source, because: &str) {
    let id = one.voice.send_snapshot(&two.peer(), source);
    let outcome = one.outcome(&two.peer(), id).await;
    let reason = outcome.expect_err("the sender is told why");
    assert!(!reason.is_empty(), "the sender is told why");
    let finished = two.shelf.finished();
    assert_eq!(finished, [], "a snapshot is there although {because}");
}
