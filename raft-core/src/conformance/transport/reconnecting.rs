//! Properties of broken connections: whoever restarts, moves or comes late is found again, and
//! nothing is left of the connection before.

use std::fs;

use tokio::runtime::Handle;

use super::backend::{TransportBackend, Verdict};
use super::ends::{End, Setup};
use super::make::{append, heartbeat};
use super::running::run;

/// At the same address, with an inbox of its own.
pub fn a_receiver_that_restarts_is_reached_again(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let mut two = net.end(2);
        for _ in 0..5 {
            both_ways(&mut one, &mut two).await;
            two = net.restart(two).await;
        }
        both_ways(&mut one, &mut two).await;
        Verdict::Held
    })
}

/// As after a restart on another machine: the sender is given the new address.
pub fn a_receiver_that_restarts_elsewhere_is_reached_there(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let mut two = net.end(2);
        for _ in 0..5 {
            both_ways(&mut one, &mut two).await;
            let new = net.start(Setup::as_before(&two));
            two.stop().await;
            two = new;
        }
        both_ways(&mut one, &mut two).await;
        Verdict::Held
    })
}

/// The receiver takes the new connection for the old one's successor.
pub fn a_sender_that_restarts_is_heard_again(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let mut two = net.end(2);
        for round in 0..5 {
            both_ways(&mut one, &mut two).await;
            if round % 2 == 0 {
                one = net.restart(one).await;
            } else {
                // It does not say goodbye: the old one still stands.
                let new = net.start(Setup::as_before(&one));
                new.voice.tell(&mut two, heartbeat()).await;
                one = new;
            }
        }
        both_ways(&mut one, &mut two).await;
        Verdict::Held
    })
}

/// The node has to know that what it sent may be lost (RULES 109).
pub fn a_lost_connection_is_told(backend: &mut dyn TransportBackend) -> Verdict {
    run(backend, async |net| {
        let mut one = net.end(1);
        let mut two = net.end(2);
        both_ways(&mut one, &mut two).await;
        two.stop().await;
        one.told_unreachable(&two.peer()).await;
        Verdict::Held
    })
}

/// RULES part two 10. Both addresses answer; only the new one is used.
pub fn a_changed_address_is_used_and_the_old_one_is_left(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let mut old = net.end(2);
        one.voice.tell(&mut old, heartbeat()).await;
        one.voice.tell(&mut old, append(10)).await;
        let mut new = net.start(Setup::as_before(&old));
        let moved = one.voice.newest();
        for _ in 0..20 {
            one.voice.tell(&mut new, heartbeat()).await;
            one.voice.tell(&mut new, append(10)).await;
        }
        let late = old.drain();
        let late = late.iter().find(|message| message.term > moved);
        let late = late.map(|message| message.body.name());
        assert_eq!(
            late, None,
            "the old address was sent a message after the change"
        );
        Verdict::Held
    })
}

/// What is sent to it meanwhile may be lost (RULES part two 34).
pub fn an_absent_peer_holds_up_no_other_and_is_reached_when_it_comes(
    backend: &mut dyn TransportBackend,
) -> Verdict {
    run(backend, async |net| {
        let one = net.end(1);
        let two = net.end(2);
        let mut three = net.end(3);
        two.stop().await;
        for _ in 0..50 {
            one.voice.say(&two.peer(), heartbeat());
            one.voice.say(&two.peer(), append(10_000));
            one.voice.tell(&mut three, heartbeat()).await;
        }
        one.voice.tell(&mut three, append(10_000)).await;
        let mut two = net.restart(two).await;
        one.voice.tell(&mut two, heartbeat()).await;
        one.voice.tell(&mut two, append(10_000)).await;
        Verdict::Held
    })
}

/// [`TransportBackend::reconnects`] of them: no task, no thread, no file descriptor. (The last two
/// where the system tells them. Other tests of the process have theirs too, so a few hundred more
/// or less say nothing.) Several nodes restart at once, so that a transport that takes a moment to
/// say goodbye takes it for all of them.
pub fn thousands_of_reconnects_leave_nothing_behind(backend: &mut dyn TransportBackend) -> Verdict {
    const AT_ONCE: u64 = 32;
    const WARM_UP: usize = 2;
    run(backend, async |net| {
        let reconnects = net.reconnects();
        let rounds = reconnects.div_ceil(usize::try_from(AT_ONCE).expect("a few"));
        let mut one = net.end(1);
        let mut others: Vec<End> = (2..2 + AT_ONCE).map(|node| net.end(node)).collect();
        let mut before = Held::now();
        for round in 0..rounds + WARM_UP {
            hear_each_other(&mut one, &mut others).await;
            if round == WARM_UP {
                before = Held::now();
            }
            others = net.restart_all(others).await;
            one.drain();
        }
        hear_each_other(&mut one, &mut others).await;
        Held::now().assert_near(&before, reconnects);
        Verdict::Held
    })
}

/// All begin to connect before anybody is waited for.
async fn hear_each_other(one: &mut End, others: &mut [End]) {
    for other in &*others {
        one.voice.say(&other.peer(), heartbeat());
        other.voice.say(&one.peer(), heartbeat());
    }
    for other in others {
        one.voice.tell(other, heartbeat()).await;
        other.voice.tell(one, heartbeat()).await;
    }
}

async fn both_ways(one: &mut End, two: &mut End) {
    for body in [heartbeat(), append(1_000)] {
        one.voice.tell(two, body.clone()).await;
        two.voice.tell(one, body).await;
    }
}

/// What a leak would add to.
struct Held {
    tasks: usize,
    threads: Option<usize>,
    files: Option<usize>,
}

impl Held {
    fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).map(Iterator::count).ok();
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            threads: count("/proc/self/task"),
            files: count("/proc/self/fd"),
        }
    }

    fn assert_near(&self, before: &Self, reconnects: usize) {
        // The runtime is ours alone, but a task may be about to end.
        let more = self.tasks.saturating_sub(before.tasks);
        assert!(
            more <= reconnects / 10,
            "{more} tasks are left after {reconnects} reconnects"
        );
        for (what, now, before) in [
            ("threads", self.threads, before.threads),
            ("file descriptors", self.files, before.files),
        ] {
            let more = now.unwrap_or(0).saturating_sub(before.unwrap_or(0));
            assert!(
                more <= reconnects / 3,
                "{more} {what} are left after {reconnects} reconnects"
            );
        }
    }
}
