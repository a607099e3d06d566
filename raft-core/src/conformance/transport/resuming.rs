//! Properties of snapshots that go on where they broke off, or end because nobody needs them.

use super::backend::{TransportBackend, Verdict};
use super::ends::Setup;
use super::make::heartbeat;
use super::receiving::Shelf;
use super::running::{Net, run};
use super::sending::{Reading, SENT_IN, Source, State};
use crate::id::Term;

/// By whoever leads next: what has arrived is not sent again.
pub fn a_snapshot_that_was_cut_off_is_gone_on_with(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let state = State::of(12 << 20);
        let (source, read, _) = Source::of(state);
        cut_off_and_sent_again(net, state, source).await;
        let (began_at, half) = (read.began_at(), state.size / 2);
        assert!(
            began_at >= half,
            "{half} bytes had arrived, and the second attempt began after {began_at}"
        );
        assert_read(&read, state.size - half);
        Verdict::Held
    })
}

/// A reader may be unable to begin anywhere else.
pub fn a_reader_that_cannot_go_on_in_the_middle_starts_over(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let state = State::of(12 << 20);
        let (source, ..) = Source::of(state);
        cut_off_and_sent_again(net, state, source.only_from_the_beginning()).await;
        Verdict::Held
    })
}

/// So that a leader can tell a slow receiver from one that is gone.
pub fn the_sender_is_told_that_the_receiver_moves_on(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let (mut one, two) = (net.end(1), net.end(2));
        let (source, ..) = Source::of(State::of(16 << 20));
        let id = one.voice.send_snapshot(&two.peer(), source);
        assert_eq!(one.outcome(&two.peer(), id).await, Ok(()));
        let told = one.times_progressed(&two.peer(), SENT_IN);
        assert!(
            told > 0,
            "16 MiB arrived, and nobody said that they move on"
        );
        Verdict::Held
    })
}

/// Its leader has been deposed.
pub fn a_snapshot_of_an_earlier_term_is_refused(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (mut one, mut two) = (net.end(1), net.end(2));
        two.is_at(SENT_IN.next(), 0);
        let (source, ..) = Source::of(State::of(5 << 20));
        let id = one.voice.send_snapshot(&two.peer(), source);
        let outcome = one.outcome(&two.peer(), id).await;
        assert!(outcome.is_err(), "a snapshot of an earlier term was taken");
        assert_eq!(two.shelf.finished(), []);
        one.voice.tell(&mut two, heartbeat()).await;
        Verdict::Held
    })
}

/// Its receiver has all of it from elsewhere: that is success, without the bytes.
pub fn a_snapshot_that_is_not_needed_is_not_sent(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let state = State::of(24 << 20);
        let (mut one, mut two) = (net.end(1), net.end(2));
        two.is_at(SENT_IN, state.index);
        let (source, read, _) = Source::of(state);
        let id = one.voice.send_snapshot(&two.peer(), source);
        assert_eq!(one.outcome(&two.peer(), id).await, Ok(()));
        assert_read(&read, state.size / 2);
        assert_eq!(two.shelf.finished(), []);
        one.voice.tell(&mut two, heartbeat()).await;
        Verdict::Held
    })
}

/// It becomes unneeded, which is success, or its leader is deposed, which is not.
pub fn a_snapshot_that_becomes_stale_on_its_way_ends(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let state = State::of(64 << 20);
        for (term, committed, is_success) in
            [(SENT_IN, state.index, true), (SENT_IN.next(), 0, false)]
        {
            let (shelf, mut valve) = Shelf::keeping(1 << 20);
            let mut one = net.end(1);
            let two = net.start(Setup::of(2).with_shelf(shelf.clone()));
            two.is_at(Term::new(1), 0);
            let (source, ..) = Source::of(state);
            let id = one.voice.send_snapshot(&two.peer(), source);
            let what = "the first bytes of a snapshot arrive";
            net.patience().wait(valve.reached(1 << 20), what).await;
            two.is_at(term, committed);
            drop(valve);
            let outcome = one.outcome(&two.peer(), id).await;
            assert_eq!(outcome.is_ok(), is_success, "{outcome:?}");
            assert_eq!(
                shelf.finished(),
                [],
                "what became stale was taken all the same"
            );
        }
        Verdict::Held
    })
}

/// Half of the state arrives, then its sender stops, and the next one sends `again`.
async fn cut_off_and_sent_again(net: &mut Net<'_>, state: State, again: Source) {
    let half = state.size / 2;
    let (shelf, mut valve) = Shelf::keeping(half);
    let one = net.end(1);
    let mut two = net.start(Setup::of(2).with_shelf(shelf.clone()));
    let (source, ..) = Source::of(state);
    one.voice.send_snapshot(&two.peer(), source);
    let what = "half of a snapshot arrives";
    net.patience().wait(valve.reached(half), what).await;
    let mut one = net.restart(one).await;
    drop(valve);
    let id = one.voice.send_snapshot(&two.peer(), again);
    assert_eq!(one.outcome(&two.peer(), id).await, Ok(()));
    two.received().await;
    shelf.assert_holds(state);
}

fn assert_read(read: &Reading, bytes_max: u64) {
    let bytes = read.bytes();
    assert!(
        bytes <= bytes_max,
        "{bytes} bytes of a snapshot were read, at most {bytes_max} were needed"
    );
}
