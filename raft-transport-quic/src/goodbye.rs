//! Goodbyes that leave, however much waits.
//!
//! The stack lets the packet that closes a connection wait for room on the network, as if it carried
//! the data that waits; and a connection that is closed hears of no room any more. The other end would
//! notice by silence alone. By the protocol, such a packet needs no room (RFC 9002 §2): so a
//! connection that closes has all of it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{Connection, VarInt};
use quinn_proto::RttEstimator;

/// Makes the congestion control that [`close`] can lift.
#[derive(Debug)]
pub(crate) struct UntilGoodbyes;

/// Cubic, until the connection closes. Clones are about the same connection.
struct UntilGoodbye {
    cubic: Box<dyn Controller>,
    closes: Arc<AtomicBool>,
}

/// Closes a connection: the other end is told at once. One that is closed already stays as it is,
/// and is told all the same if it was not yet.
pub(crate) fn close(connection: &Connection, (code, reason): (u32, &[u8])) {
    let controller = connection.congestion_state().into_any();
    // First: nobody asks for room again after the goodbye was held back.
    if let Ok(controller) = controller.downcast::<UntilGoodbye>() {
        controller.closes.store(true, Ordering::Relaxed);
    }
    connection.close(VarInt::from_u32(code), reason);
}

impl ControllerFactory for UntilGoodbyes {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(UntilGoodbye {
            cubic: Arc::new(CubicConfig::default()).build(now, current_mtu),
            closes: Arc::default(),
        })
    }
}

impl Controller for UntilGoodbye {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        match self.closes.load(Ordering::Relaxed) {
            // Nothing is held back, nor sent slowly.
            true => u64::MAX,
            false => self.cubic.window(),
        }
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            closes: Arc::clone(&self.closes),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u16 = 1200;

    #[test]
    fn a_connection_that_does_not_close_obeys_the_network() {
        let now = tokio::time::Instant::now().into_std();
        let mut ours = Arc::new(UntilGoodbyes).build(now, MTU);
        let mut cubic = Arc::new(CubicConfig::default()).build(now, MTU);
        let before = ours.window();
        for controller in [&mut ours, &mut cubic] {
            controller.on_congestion_event(now, now, false, 1200);
        }
        assert!(ours.window() < before, "{} of {before}", ours.window());
        assert_eq!(ours.window(), cubic.window());
        assert_eq!(ours.initial_window(), cubic.initial_window());
        for controller in [&mut ours, &mut cubic] {
            controller.on_mtu_update(10 * MTU);
        }
        assert_eq!(ours.window(), cubic.window());
    }
}
