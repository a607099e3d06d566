//! Which commands of a client are under way.

use std::collections::BTreeSet;

use tokio::sync::watch;

use super::Sequence;

/// The client's side of the window.
#[derive(Debug)]
pub(super) struct Window {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// One command under way. Dropped, it is settled: the client will not ask for it any more.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    window: &'a watch::Sender<Window>,
    sequence: u64,
}

impl Window {
    /// Nothing is under way.
    pub(super) fn new() -> watch::Sender<Self> {
        watch::Sender::new(Self {
            next: 1,
            under_way: BTreeSet::new(),
        })
    }

    fn floor(&self) -> u64 {
        self.under_way.first().copied().unwrap_or(self.next)
    }

    fn has_room(&self, window_max: u32) -> bool {
        self.next - self.floor() < u64::from(window_max)
    }
}

impl<'a> Ticket<'a> {
    /// Waits until the window has room.
    pub(super) async fn take(window: &'a watch::Sender<Window>, window_max: u32) -> Self {
        let mut changes = window.subscribe();
        loop {
            let mut sequence = None;
            window.send_if_modified(|window| {
                if window.has_room(window_max) {
                    window.under_way.insert(window.next);
                    sequence = Some(window.next);
                    window.next += 1;
                }
                sequence.is_some()
            });
            if let Some(sequence) = sequence {
                return Self { window, sequence };
            }
            // The sender is borrowed, so it is there.
            let _ = changes.wait_for(|window| window.has_room(window_max)).await;
        }
    }

    pub(super) fn sequence(&self) -> Sequence {
        Sequence(self.sequence)
    }

    /// Below this, nothing is under way.
    pub(super) fn acknowledged_below(&self) -> Sequence {
        Sequence(self.window.borrow().floor())
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.window.send_modify(|window| {
            window.under_way.remove(&self.sequence);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_window_moves_when_its_oldest_command_is_settled() {
        let window = Window::new();
        let first = Ticket::take(&window, 2).await;
        let second = Ticket::take(&window, 2).await;
        assert_eq!(second.sequence(), Sequence(2));
        drop(second);
        assert_eq!(first.acknowledged_below(), Sequence(1));
        assert!(!window.borrow().has_room(2), "the oldest is under way");
        let (third, ()) = tokio::join!(Ticket::take(&window, 2), async { drop(first) });
        assert_eq!(third.sequence(), Sequence(3));
        assert_eq!(third.acknowledged_below(), Sequence(3));
    }
}
