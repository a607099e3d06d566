//! Properties of links that are cut, where the backend's network [can be](TransportBackend::cut).

use super::backend::{TransportBackend, Verdict};
use super::ends::Setup;
use super::make::{append, heartbeat};
use super::receiving::Shelf;
use super::running::run;
use super::sending::{Source, State};

/// Other links stay whole meanwhile.
pub fn a_cut_link_carries_nothing_and_a_healed_one_carries_again(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let (mut two, mut three) = (net.end(2), net.end(3));
        for _ in 0..3 {
            one.voice.tell(&mut two, heartbeat()).await;
            two.voice.tell(&mut one, append(10)).await;
            let Some(heal) = net.cut(1, 2) else {
                return Verdict::Skipped(CUT);
            };
            two.drain();
            let mut lost = Vec::new();
            for _ in 0..20 {
                lost.push(one.voice.say(&two.peer(), heartbeat()));
                lost.push(one.voice.say(&two.peer(), append(1_000)));
                one.voice.tell(&mut three, heartbeat()).await;
            }
            two.drain();
            let arrived = lost
                .iter()
                .filter(|number| one.voice.times_arrived(**number) > 0);
            assert_eq!(arrived.count(), 0, "messages passed a link that is cut");
            heal();
            one.voice.tell(&mut two, append(10)).await;
            two.voice.tell(&mut one, heartbeat()).await;
        }
        Verdict::Held
    })
}

/// The part that arrived before is not sent twice.
pub fn a_snapshot_over_a_cut_link_fails_and_goes_on_after_healing(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let state = State::of(12 << 20);
        let half = state.size / 2;
        let (shelf, mut valve) = Shelf::keeping(half);
        let mut one = net.end(1);
        let two = net.start(Setup::of(2).with_shelf(shelf.clone()));
        let (source, ..) = Source::of(state);
        let id = one.voice.send_snapshot(&two.peer(), source);
        let what = "half of a snapshot arrives";
        net.patience().wait(valve.reached(half), what).await;
        let Some(heal) = net.cut(1, 2) else {
            return Verdict::Skipped(CUT);
        };
        drop(valve);
        let outcome = one.outcome(&two.peer(), id).await;
        assert!(outcome.is_err(), "a snapshot passed a link that is cut");
        heal();
        let (source, read, _) = Source::of(state);
        one.voice.send_snapshot(&two.peer(), source);
        assert_eq!(one.outcome(&two.peer(), id).await, Ok(()));
        shelf.assert_holds(state);
        let began_at = read.began_at();
        assert!(
            began_at >= half,
            "went on after {began_at} bytes, {half} had arrived"
        );
        Verdict::Held
    })
}

const CUT: &str = "network that can be cut";
