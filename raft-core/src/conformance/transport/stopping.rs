//! Properties of the end: a stop returns, and nothing goes on after it.

use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::backend::{TransportBackend, Verdict};
use super::ends::{End, Setup};
use super::make::{append, heartbeat};
use super::receiving::Shelf;
use super::running::{Net, run};
use super::sending::{Source, State};
use crate::membership::Peer;

/// With queues full of entries and a snapshot under way, at either end.
pub fn stopping_while_sending_returns_at_once(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        for stops_first in [1, 2] {
            let (one, two, _valve) = busy(net).await;
            let ends = if stops_first == 1 {
                [&one, &two]
            } else {
                [&two, &one]
            };
            for end in ends {
                stop_on_a_thread(net, end).await;
                end.stop().await;
            }
        }
        Verdict::Held
    })
}

/// Also not what waited for room in its inbox when it was stopped.
pub fn a_stopped_transport_delivers_nothing(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let mut two = net.start(Setup::of(2).with_inbox(1_000));
        let mut three = net.end(3);
        one.voice.tell(&mut two, heartbeat()).await;
        flood(&one, &two.peer()).await;
        two.stop().await;
        two.drain();
        for _ in 0..20 {
            one.voice.say(&two.peer(), heartbeat());
            one.voice.say(&two.peer(), append(100));
            one.voice.tell(&mut three, heartbeat()).await;
            one.voice.tell(&mut three, append(100)).await;
        }
        let late = two.drain();
        assert_eq!(late.len(), 0, "messages were delivered after the stop");
        Verdict::Held
    })
}

/// Neither messages nor snapshots, whose readers are given back.
pub fn sending_after_a_stop_does_nothing(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let (mut two, mut three) = (net.end(2), net.end(3));
        one.voice.tell(&mut two, heartbeat()).await;
        one.stop().await;
        let mut sent = Vec::new();
        for _ in 0..20 {
            sent.push(one.voice.say(&two.peer(), heartbeat()));
            sent.push(one.voice.say(&two.peer(), append(100)));
            three.voice.tell(&mut two, heartbeat()).await;
            two.voice.tell(&mut three, append(100)).await;
        }
        let (source, _, given_back) = Source::of(State::of(1 << 20));
        one.voice.send_snapshot(&two.peer(), source);
        let what = "the reader of a snapshot is given back after a stop";
        // An error is what says so: its other end is gone.
        let _ = net.patience().wait(given_back, what).await;
        two.drain();
        let arrived = sent
            .iter()
            .filter(|number| one.voice.times_arrived(**number) > 0);
        assert_eq!(
            arrived.count(),
            0,
            "messages that were sent after the stop arrived"
        );
        assert_eq!(
            two.shelf.finished(),
            [],
            "a snapshot was sent after the stop"
        );
        Verdict::Held
    })
}

/// And a late stop of a predecessor does not touch its successor.
pub fn stopping_twice_or_unstarted_is_harmless(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let unstarted = net.unstarted(5);
        unstarted.transport().stop();
        unstarted.transport().stop();
        let mut one = net.end(1);
        let two = net.end(2);
        let former = two.voice.clone();
        two.stop().await;
        two.stop().await;
        let mut two = net.restart(two).await;
        one.voice.tell(&mut two, heartbeat()).await;
        former.stop().await;
        one.voice.tell(&mut two, append(100)).await;
        two.voice.tell(&mut one, append(100)).await;
        Verdict::Held
    })
}

/// Nobody holds it once the transport was stopped and dropped: no task is left that could deliver.
pub fn a_stopped_transport_gives_back_the_inbox(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        for stops_first in [1, 2] {
            let (one, two, valve) = busy(net).await;
            let ends = if stops_first == 1 {
                [one, two]
            } else {
                [two, one]
            };
            for end in &ends {
                end.stop().await;
            }
            drop(valve);
            for end in ends {
                let mut receiver = end.into_receiver();
                let given_back = async {
                    while receiver.control.recv().await.is_some() {}
                    while receiver.bulk.recv().await.is_some() {}
                };
                let what = "nobody holds the inbox of a transport that was stopped and dropped";
                net.patience().wait(given_back, what).await;
            }
        }
        Verdict::Held
    })
}

/// Of those that are under way, and of those that wait for their turn. None of them arrives.
pub fn the_reader_of_a_snapshot_is_given_back_on_a_stop(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let (shelf, mut valve) = Shelf::keeping(100_000);
        let one = net.end(1);
        let two = net.start(Setup::of(2).with_shelf(shelf.clone()));
        let mut held = Vec::new();
        let send = |held: &mut Vec<_>| {
            let (source, _, given_back) = Source::of(State::of(24 << 20));
            one.voice.send_snapshot(&two.peer(), source);
            held.push(given_back);
        };
        for _ in 0..20 {
            send(&mut held);
        }
        // So many at once may be too many: then one more has room after those that were refused.
        let begins = async {
            while timeout(AGAIN, valve.reached(100_000)).await.is_err() {
                send(&mut held);
            }
        };
        let what = "the first bytes of a snapshot arrive";
        net.patience().wait(begins, what).await;
        one.stop().await;
        drop(valve);
        for given_back in held {
            let what = "the reader of a snapshot is given back on a stop";
            // An error is what says so: its other end is gone.
            let _ = net.patience().wait(given_back, what).await;
        }
        let what = "nobody writes a snapshot whose sender has stopped";
        net.patience().wait(shelf.at_rest(), what).await;
        let finished = shelf.finished();
        assert_eq!(
            finished,
            [],
            "a snapshot whose sender has stopped was sent all the same"
        );
        Verdict::Held
    })
}

/// A leader must know that it has to try again.
pub fn a_receiver_that_stops_half_way_is_told_to_the_sender(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let state = State::of(24 << 20);
        let (shelf, mut valve) = Shelf::keeping(100_000);
        let mut one = net.end(1);
        let two = net.start(Setup::of(2).with_shelf(shelf.clone()));
        let mut three = net.end(3);
        let (source, ..) = Source::of(state);
        let id = one.voice.send_snapshot(&two.peer(), source);
        let what = "the first bytes of a snapshot arrive";
        net.patience().wait(valve.reached(100_000), what).await;
        two.stop().await;
        drop(valve);
        let outcome = one.outcome(&two.peer(), id).await;
        assert!(
            outcome.is_err(),
            "a snapshot was sent to a node that stopped half way"
        );
        assert_eq!(shelf.finished(), []);
        one.voice.tell(&mut three, append(100)).await;
        Verdict::Held
    })
}

/// The pause before another snapshot is sent in place of those that were refused.
const AGAIN: Duration = Duration::from_millis(500);

/// Two nodes that send each other what they can, and a snapshot that is held up.
async fn busy(net: &mut Net<'_>) -> (End, End, super::valve::Valve) {
    let (shelf, mut valve) = Shelf::keeping(100_000);
    let mut one = net.start(Setup::of(1).with_inbox(1_000));
    let mut two = net.start(Setup::of(2).with_inbox(1_000).with_shelf(shelf));
    one.voice.tell(&mut two, append(10)).await;
    two.voice.tell(&mut one, append(10)).await;
    let (source, ..) = Source::of(State::of(24 << 20));
    one.voice.send_snapshot(&two.peer(), source);
    let what = "the first bytes of a snapshot arrive";
    net.patience().wait(valve.reached(100_000), what).await;
    flood(&one, &two.peer()).await;
    flood(&two, &one.peer()).await;
    (one, two, valve)
}

async fn flood(from: &End, to: &Peer) {
    for _ in 0..50 {
        from.voice.say(to, append(100_000));
        from.voice.say(to, heartbeat());
        tokio::task::yield_now().await;
    }
}

/// A call that waits is left behind on its thread.
async fn stop_on_a_thread(net: &Net<'_>, end: &End) {
    let (done, stopped) = oneshot::channel();
    let (endpoint, runtime) = (end.voice.endpoint.clone(), Handle::current());
    let stopping = thread::Builder::new().name("stops".into()).spawn(move || {
        let _runtime = runtime.enter();
        endpoint.transport().stop();
        done.send(())
    });
    drop(stopping.expect("a thread"));
    let stopped = net
        .patience()
        .wait(stopped, "the call of stop returns")
        .await;
    stopped.expect("the thread that stops");
}
