//! The suite for transports: what the contract of a [`Transport`] promises, from outside.
//!
//! The author of a transport implements [`TransportBackend`], which is one function, and calls
//! [`transport_conformance!`](crate::transport_conformance) in a test file. Each property becomes a
//! test of that name:
//!
//! ```
//! use std::sync::Arc;
//!
//! use raft_core::Identity;
//! use raft_core::conformance::transport::{Endpoint, TransportBackend};
//! use raft_core::memory::Network;
//!
//! /// Every property begins with a switch of its own.
//! #[derive(Default)]
//! struct Memory(Network);
//!
//! impl TransportBackend for Memory {
//!     fn open(&mut self, local: Identity, _listen: Option<&str>) -> Endpoint {
//!         Endpoint::new(Arc::new(self.0.transport(local.node)))
//!     }
//! }
//!
//! mod memory {
//!     raft_core::transport_conformance!(super::Memory::default());
//! }
//! # fn main() {
//! # let verdict = raft_core::conformance::transport::messages::every_kind_of_message_arrives_as_it_was_sent(
//! #     &mut Memory::default());
//! # assert_eq!(verdict, raft_core::conformance::transport::Verdict::Held);
//! # }
//! ```
//!
//! **What a backend gives.** [`TransportBackend::open`] makes a transport and does not start it; the
//! suite does, with inboxes and snapshot stores of its own. Everything else has a default: how
//! patient the suite is, how large the largest snapshot is, how much a transport may hold for a
//! peer that takes nothing. Choose settings that make reconnecting quick, and limits small enough to
//! be reached: a bound on messages ([`Transport::message_bytes_max`]) that is above what the queues
//! of the transport hold shows best that one large message passes alone.
//!
//! **What it may give besides.** Some properties need more than the contract offers: a count of
//! dropped messages ([`Endpoint::dropped`]), a wait for the last task ([`Endpoint::ended`]), a network
//! that can be cut ([`TransportBackend::cut`]) or is as bad as networks get
//! ([`TransportBackend::disturb`]), a promise of order that the contract does not ask for
//! ([`TransportBackend::delivery`]). Where a backend has no such thing, the property says on the
//! standard error what it could not look at ([`Verdict::Skipped`]), and the test passes; it fails if the
//! backend says that it [lacks nothing](TransportBackend::lacks_nothing).
//!
//! **How it waits.** The suite makes the runtime, with one thread as in a node, and no property
//! sleeps: it waits for what has to happen, and fails if that has not happened after the backend's
//! [patience](TransportBackend::patience). What may be lost is said again until it is heard, so a
//! transport may lose and repeat as the contract permits. A failed property panics with what it
//! expected and what it found.

mod backend;
pub mod delivery;
pub mod disturbed;
mod ends;
pub mod lanes;
pub mod links;
mod make;
pub mod messages;
mod receiving;
pub mod reconnecting;
pub mod resuming;
mod running;
mod sending;
pub mod snapshots;
pub mod stopping;
pub mod strangers;
mod valve;

pub use backend::{Delivery, Endpoint, Heal, TransportBackend, Verdict};

#[cfg(doc)]
use crate::transport::Transport;

/// A test for each property of a [`crate::transport::Transport`]. `$backend` makes a new
/// [`TransportBackend`], for each of them. Properties of a network that is cut or disturbed take
/// `$rough` where that is given: so the others can do without what stands between nodes there.
#[macro_export]
macro_rules! transport_conformance {
    ($backend:expr $(,)?) => {
        $crate::transport_conformance!($backend, $backend);
    };
    ($backend:expr, $rough:expr $(,)?) => {
        $crate::transport_conformance_tests! { messages, $backend, [
            every_kind_of_message_arrives_as_it_was_sent,
            nothing_arrives_that_was_not_sent,
            messages_pass_both_ways_at_once,
            the_local_address_can_be_dialed,
            many_peers_are_reached_and_answer,
            a_message_at_the_limit_arrives,
            a_message_over_the_limit_is_dropped_and_breaks_nothing,
            a_message_larger_than_the_inbox_passes_alone,
        ] }
        $crate::transport_conformance_tests! { lanes, $backend, [
            heartbeats_pass_while_a_huge_snapshot_is_under_way,
            heartbeats_pass_a_receiver_that_takes_no_entries,
            entries_pass_while_a_snapshot_is_held_up,
            a_snapshot_passes_a_receiver_that_takes_no_entries,
            a_peer_that_takes_nothing_holds_up_no_other,
            sending_never_waits,
            a_peer_that_takes_nothing_costs_bounded_memory,
            what_is_dropped_is_counted,
        ] }
        $crate::transport_conformance_tests! { reconnecting, $backend, [
            a_receiver_that_restarts_is_reached_again,
            a_receiver_that_restarts_elsewhere_is_reached_there,
            a_sender_that_restarts_is_heard_again,
            a_lost_connection_is_told,
            a_changed_address_is_used_and_the_old_one_is_left,
            an_absent_peer_holds_up_no_other_and_is_reached_when_it_comes,
            thousands_of_reconnects_leave_nothing_behind,
        ] }
        $crate::transport_conformance_tests! { links, $rough, [
            a_cut_link_carries_nothing_and_a_healed_one_carries_again,
            a_snapshot_over_a_cut_link_fails_and_goes_on_after_healing,
        ] }
        $crate::transport_conformance_tests! { delivery, $backend, [
            a_message_arrives_once_at_most,
            messages_of_a_lane_arrive_in_the_order_in_which_they_were_sent,
        ] }
        $crate::transport_conformance_tests! { disturbed, $rough, [
            a_disturbed_network_alters_nothing,
            a_disturbed_network_repeats_and_reorders_nothing,
            a_snapshot_passes_a_disturbed_network_whole,
        ] }
        $crate::transport_conformance_tests! { strangers, $backend, [
            another_cluster_is_not_heard,
            another_group_is_not_heard,
            the_time_before_a_recovery_is_not_heard,
            a_message_for_another_node_is_not_delivered,
            a_snapshot_of_a_stranger_is_refused,
        ] }
        $crate::transport_conformance_tests! { stopping, $backend, [
            stopping_while_sending_returns_at_once,
            a_stopped_transport_delivers_nothing,
            sending_after_a_stop_does_nothing,
            stopping_twice_or_unstarted_is_harmless,
            a_stopped_transport_gives_back_the_inbox,
            the_reader_of_a_snapshot_is_given_back_on_a_stop,
            a_receiver_that_stops_half_way_is_told_to_the_sender,
        ] }
        $crate::transport_conformance_tests! { snapshots, $backend, [
            a_snapshot_arrives_whole_and_both_nodes_are_told,
            an_empty_snapshot_arrives,
            several_snapshots_arrive_at_once,
            a_snapshot_that_is_held_up_holds_up_no_other,
            a_failing_reader_is_told_as_not_sent,
            bytes_that_are_not_the_announced_ones_are_told_as_not_sent,
            a_receiver_that_cannot_write_is_told_as_not_sent,
            a_snapshot_to_an_absent_node_is_told_as_not_sent,
        ] }
        $crate::transport_conformance_tests! { resuming, $backend, [
            a_snapshot_that_was_cut_off_is_gone_on_with,
            a_reader_that_cannot_go_on_in_the_middle_starts_over,
            the_sender_is_told_that_the_receiver_moves_on,
            a_snapshot_of_an_earlier_term_is_refused,
            a_snapshot_that_is_not_needed_is_not_sent,
            a_snapshot_that_becomes_stale_on_its_way_ends,
        ] }
    };
}

/// One `#[test]` for each named property.
#[doc(hidden)]
#[macro_export]
macro_rules! transport_conformance_tests {
    ($suite:ident, $backend:expr, [$($property:ident,)*]) => {
        $(
            #[test]
            fn $property() -> $crate::conformance::transport::Verdict {
                $crate::conformance::transport::$suite::$property(&mut $backend)
            }
        )*
    };
}
