//! One test a story.

use std::fs;
use std::path::PathBuf;

use super::commands::Teller;
use super::story;

/// Makes a module a chapter and a test a story, and lists them all.
macro_rules! stories {
    ($($chapter:ident { $($name:ident)* })*) => {
        $(mod $chapter {
            $(#[test]
            fn $name() {
                super::tell(stringify!($chapter), stringify!($name));
            })*
        })*

        const LISTED: &[(&str, &[&str])] = &[$((stringify!($chapter), &[$(stringify!($name)),*])),*];
    };
}

stories! {
    election {
        a_candidate_asks_only_with_a_durable_vote
        a_candidate_of_an_earlier_term_is_told
        a_follower_with_a_slow_disk_keeps_its_leader
        a_granted_pre_vote_buys_nobody_time
        a_greater_term_ends_a_leadership
        a_leader_of_an_earlier_term_is_told
        a_late_grant_does_not_make_a_candidate_of_a_disk_that_stands_still
        a_leader_that_hears_nobody_does_not_hold_its_followers
        a_leader_that_lost_its_office_may_ask_who_still_hears_it
        a_leader_that_restarts_is_voted_for_again
        a_leader_whose_disk_stands_still_gives_up
        a_leader_without_a_majority_steps_down
        a_live_leader_protects_its_followers
        a_lost_connection_to_a_live_leader_changes_nothing
        a_lost_connection_to_the_leader_hurries
        a_majority_makes_a_leader
        a_node_that_was_away_for_long_disturbs_nobody
        a_node_whose_disk_stands_still_does_not_campaign
        a_paused_node_listens_before_it_campaigns
        a_pre_vote_of_an_earlier_term_teaches_the_term
        a_purged_log_is_compared_by_its_base
        a_refused_request_buys_no_time
        a_shorter_log_does_not_win
        a_stranger_may_be_voted_for
        a_term_out_of_reach_is_nonsense
        a_term_with_a_leader_gives_no_vote
        a_vote_buys_the_candidate_time
        a_vote_is_given_once_a_term
        a_vote_of_an_earlier_term_does_not_count
        a_vote_survives_a_restart
        a_vote_that_is_not_durable_was_never_given
        an_old_candidacy_does_not_speak_for_a_new_one
        an_old_grant_of_a_pre_vote_does_not_count
        an_order_to_campaign_counts_only_from_the_leader
        every_message_of_a_greater_term_ends_a_leadership
        every_role_answers_every_request
        logs_are_compared_by_term_then_length
        one_voter_elects_itself
        only_a_voter_campaigns
        pre_vote_does_not_disturb
        requests_of_clients_keep_no_dead_leader
        stepping_down_keeps_the_vote
        the_newest_log_leads_whatever_its_priority
        timeouts_elect_without_being_asked
        votes_are_counted_once
        votes_may_split
        who_cannot_win_hurries_who_can
        who_is_heard_and_hears_nobody_deposes_nobody
        who_is_wanted_most_and_is_gone_is_waited_for_once
        who_is_wanted_most_campaigns_first
    }

    replication {
        a_command_over_the_limit_is_refused
        a_deposed_leader_discards_its_tail
        a_follower_that_lost_its_disk_is_not_asked_again_and_again
        a_follower_with_another_entry_of_the_same_name_stops
        a_late_duplicate_never_shortens_the_log
        a_late_rejection_is_ignored
        a_lost_append_is_sent_again
        a_member_that_comes_back_starts_over
        a_probe_comes_before_the_pipeline
        a_rejection_names_where_the_logs_may_agree
        a_slow_disk_is_not_a_lost_message
        a_slow_link_is_not_a_lost_message
        a_write_that_was_overtaken_acknowledges_nothing
        acknowledgements_may_arrive_in_any_order
        an_acknowledgement_covers_only_what_was_sent
        an_acknowledgement_of_what_was_never_sent_is_nonsense
        an_answer_of_an_earlier_term_is_ignored
        an_old_acknowledgement_does_not_end_the_asking
        an_unreachable_follower_is_probed
        appends_may_arrive_in_any_order
        bytes_in_flight_are_limited
        entries_that_were_replaced_are_not_sent_from_the_disk
        logs_that_a_leader_meets
        malformed_entries_are_dropped
        messages_in_flight_are_limited
        nobody_contradicts_the_beginning_of_a_log
        old_entries_are_read_from_disk
        one_entry_passes_every_limit
    }

    proposals {
        a_deposed_leader_does_not_deny_what_it_has_taken
        a_follower_sends_proposals_to_its_leader
        a_full_leader_takes_the_first_of_what_is_forwarded
        a_late_answer_of_a_forward_is_still_true
        a_learner_sends_proposals_to_its_leader
        a_lost_forward_leaves_the_outcome_unknown
        a_repeated_forward_is_appended_once
        a_restarted_leader_does_not_deny_what_it_may_have_taken
        an_expected_term_binds_a_proposal
        forwards_travel_in_bounded_messages
        who_leads_no_more_does_not_send_on_what_it_is_sent
        without_a_leader_nothing_is_forwarded
    }

    commit {
        a_commit_travels_with_the_next_message
        a_committed_entry_is_never_replaced
        a_follower_commits_only_what_it_has_verified
        a_leader_commits_before_its_own_disk_is_done
        a_leader_counts_itself_when_its_disk_is_done
        a_tail_that_nothing_contradicts_is_not_committed
        an_entry_of_its_own_term_commits_the_older_ones
        counting_copies_of_an_old_entry_commits_nothing
        four_voters_need_three
        one_voter_commits_alone
        the_commit_index_never_falls
    }

    snapshots {
        a_lagging_follower_receives_a_snapshot
        a_late_append_reaches_into_the_purged_part
        a_leader_that_cannot_read_its_snapshot_hands_over
        a_leader_with_nobody_to_hand_over_to_takes_another_snapshot
        a_log_without_a_tail_goes_on_after_a_restart
        a_lost_snapshot_is_sent_again
        a_node_that_is_being_restored_does_not_campaign
        a_node_without_data_learns_everything_from_a_snapshot
        a_snapshot_behind_the_commit_index_is_acknowledged
        a_snapshot_is_not_sent_into_the_void
        a_snapshot_may_arrive_before_its_term
        a_snapshot_of_a_deposed_leader_is_ignored
        a_snapshot_of_a_known_entry_keeps_the_rest
        a_snapshot_of_an_impossible_term_is_nonsense
        a_snapshot_overtakes_a_slow_disk
        a_snapshot_replaces_a_log_that_contradicts_it
        a_snapshot_that_fails_is_tried_again_much_later
        a_tail_may_be_longer_than_the_log
        an_old_snapshot_does_not_bring_the_past_back
        bytes_ask_for_a_snapshot_too
        changes_alone_ask_for_a_snapshot_too
        compaction_keeps_a_tail
        one_snapshot_is_taken_at_a_time
        power_is_lost_while_a_snapshot_is_installed
        the_term_before_the_first_entry_is_known
        time_asks_for_a_snapshot_too
        what_an_earlier_leadership_sent_is_no_news
        what_follows_a_snapshot_is_kept_for_its_receiver
        what_was_read_before_a_snapshot_is_not_applied_after_it
    }

    reads {
        a_bounded_read_asks_only_when_the_node_may_be_too_old
        a_bounded_read_waits_for_the_next_leader
        a_bounded_read_without_a_leader_says_how_far_behind_it_may_be
        a_deposed_leader_fails_its_reads
        a_follower_asks_its_leader
        a_former_leader_refuses_to_answer
        a_joint_lease_needs_both_halves
        a_late_answer_confirms_nothing
        a_leader_without_a_majority_serves_nothing
        a_lease_answers_followers_and_learners
        a_lease_answers_without_messages
        a_lease_counts_from_when_its_question_was_sent
        a_lease_ends_with_its_term
        a_lost_connection_breaks_no_promise
        a_lost_question_is_asked_again
        a_new_leader_has_no_lease_before_it_commits
        a_new_leader_serves_the_reads_it_had_forwarded
        a_question_of_an_earlier_term_is_refused
        a_question_that_nobody_answers_times_out
        a_read_may_wait_for_an_entry
        a_read_waits_for_a_commit_of_this_term
        a_read_waits_for_the_state_machine
        a_restarted_node_keeps_the_silence_it_may_have_promised
        a_snapshot_may_bring_what_a_read_waits_for
        a_state_machine_that_stands_still_fails_its_reads
        a_transfer_gives_the_lease_up
        an_answer_of_a_former_leader_is_ignored
        nobody_is_elected_inside_a_lease
        one_voter_confirms_itself
        only_voters_of_this_term_confirm_a_read
        reads_leave_nothing_behind_with_a_dead_member
        reads_share_a_round
        too_many_reads_are_refused
        without_a_leader_a_read_fails
    }

    restarts {
        a_candidacy_is_forgotten
        a_compacted_log_starts_from_its_snapshot
        a_follower_may_crash_between_any_two_writes
        a_leader_may_crash_with_its_entry_elsewhere
        a_machine_on_disk_hides_no_membership
        a_replaced_tail_does_not_come_back
        a_restart_counts_on_from_its_snapshot
        a_state_machine_on_disk_goes_on_where_it_was
        an_election_may_crash_at_every_write
        term_and_vote_are_one_record
        the_whole_group_may_lose_power
        what_was_acknowledged_is_there
    }

    membership {
        a_change_goes_on_under_another_leader
        a_change_is_given_up
        a_change_may_depend_on_what_was_seen
        a_change_that_makes_no_sense_is_refused
        a_demoted_voter_goes_on_as_a_learner
        a_joint_leader_needs_both_majorities
        a_leader_that_cannot_hand_over_leads_without_a_vote
        a_leader_that_is_demoted_hands_over_first
        a_leader_that_is_removed_hands_over_first
        a_learner_counts_nowhere
        a_learner_is_promoted_when_it_has_caught_up
        a_learner_of_a_later_term_is_caught_up_with
        a_learner_votes_when_it_is_asked
        a_new_leader_takes_no_step_before_it_commits
        a_new_voter_does_not_depose_the_leader
        a_new_voter_learns_first
        a_node_of_no_group_stays_passive
        a_priority_changes_without_a_vote
        a_removed_node_does_not_disturb
        a_restart_finds_the_membership_in_the_log
        a_second_change_is_refused
        a_snapshot_carries_a_change_under_way
        a_snapshot_carries_the_membership
        a_truncated_membership_is_not_in_force
        an_address_changes_without_a_vote
        joint_consensus_commits_with_both_majorities
        joint_consensus_elects_with_both_majorities
        joint_consensus_reads_with_both_majorities
        no_change_before_a_commit_of_this_term
        one_voter_leaves_in_a_single_step
        removing_a_silent_voter_commits_what_waited
        several_voters_are_replaced_at_once
        the_next_leader_leaves_joint_consensus
        two_leaders_cannot_both_change_the_group
        who_comes_back_begins_anew
        who_is_slow_to_catch_up_begins_another_round
        who_is_voted_out_may_still_be_needed
        who_joins_endangers_nobody
    }

    incarnations {
        a_former_self_acknowledges_nothing
        a_founder_may_lose_who_elected_it
        a_late_founder_is_met_and_counts
        a_wiped_voter_abstains
        a_wiped_voter_confirms_nobody
        a_wiped_voter_gives_away_nothing
        an_unmet_member_elects_nobody
        another_leader_writes_down_whom_it_meets
    }

    repair {
        a_change_of_leaders_does_not_end_a_repair
        a_damaged_voter_is_a_voter_again
        a_late_claim_strikes_nobody_off
        a_learner_only_catches_up
        a_life_that_is_not_known_to_be_over_is_let_be
        a_repair_is_not_over_before_it_is_committed
        a_repair_waits_for_a_change
        a_repaired_founder_elects_nobody
        a_repaired_node_votes_for_nobody_before_it_is_counted
        damage_during_a_repair_is_repaired_too
        of_two_voters_the_other_waits
        whose_the_stores_were_need_not_be_readable
    }

    transfer {
        a_change_waits_for_a_transfer
        a_late_order_does_no_harm
        a_leader_hands_over_to_who_is_wanted_more
        a_lost_order_is_repeated
        a_quick_return_ends_a_transfer
        an_order_of_an_earlier_term_is_ignored
        another_leader_than_was_meant_is_told
        leadership_goes_to_the_best_voter
        leadership_goes_to_who_is_named
        one_transfer_at_a_time
        proposals_are_refused_until_a_transfer_ends
        stepping_down_ends_a_transfer
        the_best_voter_is_the_one_wanted_most
        the_target_catches_up_first
        who_cannot_lead_is_refused
        who_is_wanted_more_and_does_not_take_over_is_not_asked_again_and_again
    }
    sessions {
        a_command_that_was_never_applied_is_applied_once
        a_lost_answer_is_asked_for_again
        a_retry_after_the_session_is_gone_says_what_is_unknown
        a_session_that_nobody_uses_expires
        a_snapshot_carries_the_sessions
        each_command_is_applied_once_and_answered
        limits_are_refused_one_by_one
        the_next_leader_knows_what_was_applied
        the_window_bounds_what_is_under_way
    }
    recovery {
        a_former_majority_is_refused
        a_plan_that_makes_no_sense_is_refused
        a_plan_that_was_overtaken_is_refused
        a_survivor_goes_on_alone
        another_survivor_follows
        what_the_survivor_lacks_is_lost
        who_holds_more_is_to_be_recovered_instead
    }
    restorations {
        a_backup_brings_its_own_sessions
        a_backup_of_another_group_is_restored
        a_backup_takes_the_place_of_the_state
        an_end_that_was_not_answered_may_count
        another_leader_ends_a_restoration
        commands_before_the_end_act_on_the_old_state
        half_a_backup_never_becomes_the_state
        no_snapshot_ends_within_a_restoration
        who_was_away_restores_like_the_others
    }
    streams {
        a_broken_stream_goes_on_where_it_was
        a_newer_snapshot_begins_at_its_first_byte
        a_receiver_that_restarts_goes_on_where_it_was
        a_sender_that_restarts_goes_on_too
        a_snapshot_arrives_in_parts
        a_snapshot_that_is_there_already_is_not_sent
        a_stream_that_is_stale_ends
        another_leader_goes_on_with_the_same_snapshot
    }
}

fn tell(chapter: &str, name: &str) {
    let path = folder().join(chapter).join(format!("{name}.txt"));
    let text = fs::read_to_string(&path).unwrap();
    let found = told(&text);
    if std::env::var_os("REGENERATE").is_some() {
        fs::write(&path, found).unwrap();
        return;
    }
    if let Some(difference) = story::difference(&text, &found) {
        panic!("{chapter}/{name}.txt, {difference}");
    }
}

/// The story as it goes now.
pub(super) fn told(text: &str) -> String {
    let mut scenes = story::parse(text);
    let mut teller = Teller::default();
    for scene in &mut scenes {
        scene.output = teller.play(&scene.commands);
    }
    story::render(&scenes)
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/testdata")
}

#[test]
fn every_story_is_told() {
    for chapter in fs::read_dir(folder()).unwrap() {
        let chapter = chapter.unwrap().path();
        let chapter_name = chapter.file_name().unwrap().to_str().unwrap();
        let listed = LISTED.iter().find(|(name, _)| *name == chapter_name);
        let (_, listed) = listed.unwrap_or_else(|| panic!("{chapter_name} is not listed"));
        for story in fs::read_dir(&chapter).unwrap() {
            let story = story.unwrap().path();
            let name = story.file_stem().unwrap().to_str().unwrap();
            assert!(
                listed.contains(&name),
                "{chapter_name}/{name}.txt is not listed in stories.rs"
            );
        }
    }
}
