//! Properties under a network that does its worst, where the backend's network
//! [can](TransportBackend::disturb).

use super::backend::{Delivery, TransportBackend, Verdict};
use super::delivery::{PROMISE, exchange};
use super::ends::Setup;
use super::make::{append, heartbeat};
use super::receiving::Shelf;
use super::running::run;
use super::sending::{Source, State};

/// Nothing arrives that was not sent, or torn, or altered; and nodes go on to hear each other.
pub fn a_disturbed_network_alters_nothing(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let (mut one, mut two) = (net.end(1), net.end(2));
        for seed in SEEDS {
            one.voice.tell(&mut two, append(10)).await;
            two.voice.tell(&mut one, heartbeat()).await;
            let Some(heal) = net.disturb(seed) else {
                return Verdict::Skipped(DISTURBED);
            };
            for _ in 0..ROUNDS {
                exchange(&mut one, &mut two).await;
            }
            // The same message again and again, as it was.
            one.voice.tell(&mut two, append(30_000)).await;
            two.voice.tell(&mut one, append(30_000)).await;
            heal();
        }
        one.voice.tell(&mut two, append(100_000)).await;
        two.voice.tell(&mut one, append(100_000)).await;
        Verdict::Held
    })
}

/// Neither the network's repetition and disorder show, nor the connections that had to be made anew.
pub fn a_disturbed_network_repeats_and_reorders_nothing(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        if net.delivery() != Delivery::OnceInOrder {
            return Verdict::Skipped(PROMISE);
        }
        let (mut one, mut two) = (net.end(1), net.end(2));
        let before = one.voice.newest();
        for seed in SEEDS {
            exchange(&mut one, &mut two).await;
            let Some(heal) = net.disturb(seed) else {
                return Verdict::Skipped(DISTURBED);
            };
            for _ in 0..ROUNDS {
                exchange(&mut one, &mut two).await;
            }
            heal();
        }
        exchange(&mut one, &mut two).await;
        one.voice.assert_once_since(before);
        one.voice.assert_in_order_since(before);
        Verdict::Held
    })
}

/// Sent again as often as it breaks off: what arrives in the end is what was sent, byte for byte.
pub fn a_snapshot_passes_a_disturbed_network_whole(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let state = State::of(6 << 20);
        let (shelf, _open) = Shelf::keeping(u64::MAX);
        let mut one = net.end(1);
        let mut two = net.start(Setup::of(2).with_shelf(shelf.clone()));
        one.voice.tell(&mut two, heartbeat()).await;
        let Some(heal) = net.disturb(1) else {
            return Verdict::Skipped(DISTURBED);
        };
        let mut told = Err(String::new());
        for _ in 0..ATTEMPTS_MAX {
            let (source, ..) = Source::of(state);
            let id = one.voice.send_snapshot(&two.peer(), source);
            told = one.outcome(&two.peer(), id).await;
            if told.is_ok() {
                break;
            }
        }
        assert_eq!(told, Ok(()), "a snapshot does not pass, the last attempt");
        shelf.assert_holds(state);
        heal();
        one.voice.tell(&mut two, append(10)).await;
        Verdict::Held
    })
}

const SEEDS: std::ops::RangeInclusive<u64> = 1..=3;
const ROUNDS: usize = 8;
/// Far more than are needed where each goes on where the one before has ended.
const ATTEMPTS_MAX: usize = 500;
const DISTURBED: &str = "network that can be disturbed";
