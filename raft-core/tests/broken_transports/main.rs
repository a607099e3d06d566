//! The suite for transports finds what it is there to find: for each property there is a transport
//! that breaks it, and the property fails on that, for that reason, and holds on the healthy one.

#[cfg(test)]
mod broken;
#[cfg(test)]
mod copying;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod quiet;
#[cfg(test)]
mod world;

#[cfg(test)]
mod table {
    use std::collections::{BTreeMap, BTreeSet};
    use std::thread;

    use raft_core::Identity;
    use raft_core::conformance::transport::{self, Endpoint, TransportBackend, Verdict};

    use super::broken::Broken;
    use super::fault::Fault;
    use super::quiet::quietly;

    type Property = fn(&mut dyn TransportBackend) -> Verdict;

    /// A transport that breaks a property, and what the property says of it.
    struct Row {
        fault: Fault,
        name: &'static str,
        property: Property,
        says: &'static str,
    }

    macro_rules! rows {
        ($($fault:ident => $suite:ident::$property:ident: $says:literal,)*) => {
            vec![$(Row {
                fault: Fault::$fault,
                name: stringify!($property),
                property: transport::$suite::$property,
                says: $says,
            },)*]
        };
    }

    fn of_messages() -> Vec<Row> {
        rows! {
            AltersPayloads => messages::every_kind_of_message_arrives_as_it_was_sent: "was altered",
            LosesEmptyAppends => messages::every_kind_of_message_arrives_as_it_was_sent: "append of",
            TellsEverybody => messages::nothing_arrives_that_was_not_sent: "what was sent to node",
            GoesOneWay => messages::messages_pass_both_ways_at_once: "arrives at node 1",
            GivesAWrongAddress => messages::the_local_address_can_be_dialed: "arrives at node 2",
            HasTenPeers => messages::many_peers_are_reached_and_answer: "arrives at node 12",
            RefusesAtTheLimit => messages::a_message_at_the_limit_arrives: "(1048576 bytes) arrives",
            DeliversOverTheLimit =>
                messages::a_message_over_the_limit_is_dropped_and_breaks_nothing: "bytes arrived",
            BreaksOverTheLimit =>
                messages::a_message_over_the_limit_is_dropped_and_breaks_nothing: "broke the conn",
            RefusesWhatIsLarge =>
                messages::a_message_larger_than_the_inbox_passes_alone: "arrives at node 2",
        }
    }

    fn of_lanes() -> Vec<Row> {
        rows! {
            OneLane => lanes::heartbeats_pass_while_a_huge_snapshot_is_under_way: "heartbeat of",
            OneLane => lanes::heartbeats_pass_a_receiver_that_takes_no_entries: "heartbeat of",
            OneLane => lanes::entries_pass_while_a_snapshot_is_held_up: "append of",
            OneLane => lanes::a_snapshot_passes_a_receiver_that_takes_no_entries: "the outcome of",
            OneQueue => lanes::a_peer_that_takes_nothing_holds_up_no_other: "arrives at node 3",
            WaitsInSend => lanes::sending_never_waits: "every call of send returns",
            HoldsWithoutBound =>
                lanes::a_peer_that_takes_nothing_costs_bounded_memory: "were held for a peer",
            CountsNothing => lanes::what_is_dropped_is_counted: "arrives or is counted",
        }
    }

    fn of_connections() -> Vec<Row> {
        rows! {
            LosesAfterARestart =>
                reconnecting::a_receiver_that_restarts_is_reached_again: "arrives at node 2",
            StaysAtTheFirstAddress =>
                reconnecting::a_receiver_that_restarts_elsewhere_is_reached_there: "at node 2",
            IsDeafToASuccessor =>
                reconnecting::a_sender_that_restarts_is_heard_again: "arrives at node 2",
            NeverTellsUnreachable => reconnecting::a_lost_connection_is_told: "is unreachable",
            StaysAtTheFirstAddress =>
                reconnecting::a_changed_address_is_used_and_the_old_one_is_left: "at node 2",
            SendsToBothAddresses =>
                reconnecting::a_changed_address_is_used_and_the_old_one_is_left: "the old address",
            GivesUpOnAbsentPeers =>
                reconnecting::an_absent_peer_holds_up_no_other_and_is_reached_when_it_comes:
                "arrives at node 2",
            LeaksTasks =>
                reconnecting::thousands_of_reconnects_leave_nothing_behind: "tasks are left",
            CutsNothing =>
                links::a_cut_link_carries_nothing_and_a_healed_one_carries_again: "a link that is cut",
            NeverHeals =>
                links::a_cut_link_carries_nothing_and_a_healed_one_carries_again: "arrives at node 2",
            CutsNothing =>
                links::a_snapshot_over_a_cut_link_fails_and_goes_on_after_healing: "that is cut",
            StartsOver =>
                links::a_snapshot_over_a_cut_link_fails_and_goes_on_after_healing: "went on after 0",
        }
    }

    fn of_order() -> Vec<Row> {
        rows! {
            Repeats => delivery::a_message_arrives_once_at_most: "it arrived 2 times",
            Reorders =>
                delivery::messages_of_a_lane_arrive_in_the_order_in_which_they_were_sent:
                "a later message of its lane",
            TearsWhenDisturbed => disturbed::a_disturbed_network_alters_nothing: "was altered",
            RepeatsWhenDisturbed =>
                disturbed::a_disturbed_network_repeats_and_reorders_nothing: "it arrived 2 times",
            ReordersWhenDisturbed =>
                disturbed::a_disturbed_network_repeats_and_reorders_nothing: "a later message of",
            RepeatsParts =>
                disturbed::a_snapshot_passes_a_disturbed_network_whole: "a snapshot does not pass",
        }
    }

    /// Threads and file descriptors are counted where the system tells them.
    fn of_what_is_counted_on_linux() -> Vec<Row> {
        rows! {
            LeaksFiles => reconnecting::thousands_of_reconnects_leave_nothing_behind: "file desc",
        }
    }

    fn of_strangers() -> Vec<Row> {
        rows! {
            HearsStrangers => strangers::another_cluster_is_not_heard: "a message of a stranger",
            HearsStrangers => strangers::another_group_is_not_heard: "a message of a stranger",
            HearsStrangers => strangers::the_time_before_a_recovery_is_not_heard: "of a stranger",
            LooksAtAddressesOnly =>
                strangers::a_message_for_another_node_is_not_delivered: "what was sent to node 3",
            HearsStrangers => strangers::a_snapshot_of_a_stranger_is_refused: "a stranger took",
        }
    }

    fn of_stops() -> Vec<Row> {
        rows! {
            StopWaits => stopping::stopping_while_sending_returns_at_once: "the call of stop returns",
            StopDoesNothing => stopping::a_stopped_transport_delivers_nothing: "after the stop",
            StopDoesNothing => stopping::sending_after_a_stop_does_nothing: "after the stop",
            KeepsReaders => stopping::sending_after_a_stop_does_nothing: "the reader of a snapshot",
            StopsItsSuccessor =>
                stopping::stopping_twice_or_unstarted_is_harmless: "arrives at node 2",
            KeepsTheInbox =>
                stopping::a_stopped_transport_gives_back_the_inbox: "nobody holds the inbox",
            KeepsReaders =>
                stopping::the_reader_of_a_snapshot_is_given_back_on_a_stop: "the reader of",
            GoesOnAfterItsStop =>
                stopping::the_reader_of_a_snapshot_is_given_back_on_a_stop: "has stopped was sent",
            IgnoresTheReceiversStop =>
                stopping::a_receiver_that_stops_half_way_is_told_to_the_sender: "was sent to a node",
        }
    }

    fn of_snapshots() -> Vec<Row> {
        rows! {
            NeverTellsOutcomes =>
                snapshots::a_snapshot_arrives_whole_and_both_nodes_are_told: "the outcome of",
            TruncatesSnapshots =>
                snapshots::a_snapshot_arrives_whole_and_both_nodes_are_told: "a snapshot arrives and",
            LosesEmptySnapshots => snapshots::an_empty_snapshot_arrives: "a snapshot arrives and",
            SendsOneSnapshotOnly => snapshots::several_snapshots_arrive_at_once: "to node",
            SnapshotsTakeTurns =>
                snapshots::a_snapshot_that_is_held_up_holds_up_no_other: "the first bytes of",
            AlwaysTellsSuccess => snapshots::a_failing_reader_is_told_as_not_sent: "is told why",
            AlwaysTellsSuccess =>
                snapshots::bytes_that_are_not_the_announced_ones_are_told_as_not_sent: "is told why",
            AlwaysTellsSuccess =>
                snapshots::a_receiver_that_cannot_write_is_told_as_not_sent: "is told why",
            AlwaysTellsSuccess =>
                snapshots::a_snapshot_to_an_absent_node_is_told_as_not_sent: "is told why",
            StartsOver =>
                resuming::a_snapshot_that_was_cut_off_is_gone_on_with: "second attempt began after 0",
            NeverStartsOver =>
                resuming::a_reader_that_cannot_go_on_in_the_middle_starts_over: "cannot go on",
            TellsNoProgress =>
                resuming::the_sender_is_told_that_the_receiver_moves_on: "nobody said",
            AlwaysTellsSuccess =>
                resuming::a_snapshot_of_an_earlier_term_is_refused: "an earlier term was taken",
            ReadsEverythingFirst =>
                resuming::a_snapshot_that_is_not_needed_is_not_sent: "of a snapshot were read",
            IgnoresStaleness =>
                resuming::a_snapshot_that_becomes_stale_on_its_way_ends: "was taken all the same",
        }
    }

    fn rows() -> Vec<Row> {
        let mut rows = of_messages();
        rows.extend(of_lanes());
        rows.extend(of_connections());
        rows.extend(of_order());
        rows.extend(of_strangers());
        rows.extend(of_stops());
        rows.extend(of_snapshots());
        if cfg!(target_os = "linux") {
            rows.extend(of_what_is_counted_on_linux());
        }
        rows
    }

    /// Most of the time is spent waiting in vain: so everything waits at once.
    fn all_at_once(checks: Vec<impl FnOnce() -> Option<String> + Send>) -> Vec<String> {
        thread::scope(|scope| {
            let running: Vec<_> = checks.into_iter().map(|check| scope.spawn(check)).collect();
            let ended = running.into_iter().map(|check| check.join().unwrap());
            ended.flatten().collect()
        })
    }

    /// What is wrong with how `row` finds its fault, if anything.
    fn check_broken(row: &Row) -> Option<String> {
        let Row { fault, name, .. } = row;
        let mut backend = Broken::with(*fault);
        match quietly(|| (row.property)(&mut backend)) {
            Ok(verdict) => Some(format!("`{name}` does not find {fault:?}: {verdict:?}")),
            Err(panicked) if panicked.contains(row.says) => None,
            Err(panicked) => Some(format!("`{name}` says of {fault:?}: {panicked}")),
        }
    }

    fn check_healthy(name: &str, property: Property) -> Option<String> {
        match quietly(|| property(&mut Broken::healthy())) {
            Ok(Verdict::Held) => None,
            Ok(skipped) => Some(format!("`{name}` was not looked at: {skipped:?}")),
            Err(panicked) => Some(format!("`{name}` fails on a healthy transport: {panicked}")),
        }
    }

    /// One test for both: what is leaked on purpose must not be counted where nothing leaks.
    #[test]
    fn a_property_fails_on_what_breaks_it_and_holds_on_the_healthy_transport() {
        let rows = rows();
        let broken = rows.iter().map(|row| || check_broken(row));
        let mut wrong = all_at_once(broken.collect());
        let properties = rows.iter().map(|row| (row.name, row.property));
        let properties: BTreeMap<&str, Property> = properties.collect();
        let healthy = properties
            .iter()
            .map(|(name, property)| || check_healthy(name, *property));
        wrong.extend(all_at_once(healthy.collect()));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// A backend that says that it lacks nothing, and cannot be cut.
    struct Boasting(Broken);

    impl TransportBackend for Boasting {
        fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
            self.0.open(local, listen)
        }

        fn lacks_nothing(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_property_that_is_skipped_fails_if_the_backend_is_said_to_lack_nothing() {
        let property = transport::links::a_cut_link_carries_nothing_and_a_healed_one_carries_again;
        let verdict = quietly(|| property(&mut Boasting(Broken::healthy())));
        let panicked = verdict.expect_err("it was skipped");
        assert!(panicked.starts_with("skipped, for there is no network that can be cut"));
    }

    #[test]
    fn every_property_has_its_broken_transport() {
        let suites = [
            include_str!("../../src/conformance/transport/delivery.rs"),
            include_str!("../../src/conformance/transport/disturbed.rs"),
            include_str!("../../src/conformance/transport/lanes.rs"),
            include_str!("../../src/conformance/transport/links.rs"),
            include_str!("../../src/conformance/transport/messages.rs"),
            include_str!("../../src/conformance/transport/reconnecting.rs"),
            include_str!("../../src/conformance/transport/resuming.rs"),
            include_str!("../../src/conformance/transport/snapshots.rs"),
            include_str!("../../src/conformance/transport/stopping.rs"),
            include_str!("../../src/conformance/transport/strangers.rs"),
        ];
        let lines = suites.iter().flat_map(|suite| suite.lines());
        let properties = lines.filter_map(|line| line.strip_prefix("pub fn ")?.split_once('('));
        let properties: BTreeSet<&str> = properties.map(|(property, _)| property).collect();
        let listed = include_str!("../../src/conformance/transport/mod.rs");
        for property in &properties {
            let is_listed = listed.contains(&format!(" {property},\n"));
            assert!(is_listed, "`{property}` is not in the macro");
        }
        let rows = rows();
        let named: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(named, properties);
    }
}
