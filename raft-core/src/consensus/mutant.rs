//! Deliberate faults of the protocol, and of the node's way with it, for the simulator to find.
//!
//! Each stands at one decision, behind [`mutant`]. Without the feature `mutants` that is a constant,
//! and nothing of it is compiled. With it, a thread chooses one fault for everything it runs.
//!
//! The simulator finds each within so many seeds. Of some that take a rare chain of events one of the
//! stories below `raft-core/tests/testdata` tells too: with the fault it goes another way
//! (`raft-core/tests/scenarios/planted.rs`).

macro_rules! mutants {
    ($($name:ident = $budget:literal $(story $story:literal)?, $text:literal;)*) => {
        /// A deliberate fault.
        #[cfg_attr(
            not(feature = "mutants"),
            expect(unreachable_pub, reason = "the simulator shows it, with the feature")
        )]
        #[cfg_attr(
            not(feature = "sim"),
            expect(dead_code, reason = "some of them are faults of what the simulator stands for")
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $(
                #[doc = $text]
                $name,
            )*
        }

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it breaks, in words.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The story that goes another way with it, if there is one.
            pub const fn story(self) -> Option<&'static str> {
                match self {
                    $($(Self::$name => Some($story),)?)*
                    _ => None,
                }
            }

            /// The simulator must find it within so many seeds, counted from zero.
            pub const fn seeds_max(self) -> u64 {
                match self {
                    $(Self::$name => $budget,)*
                }
            }

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

mutants! {
    VoteNotPersisted = 50, "a vote leaves before it is on disk";
    CandidacyNotPersisted = 50, "a candidate asks for votes before its own is on disk";
    AcknowledgedBeforeSync = 50, "entries are acknowledged before they are on disk";
    OwnDiskNotAwaited = 50, "a leader counts its own entries before they are on disk";
    OverwrittenCountsAsDurable = 400, "entries overwritten on their way to the disk count as durable";
    ResetKeepsOldDurability = 2000 story "snapshots/a_snapshot_overtakes_a_slow_disk",
        "writes from before a received snapshot count for the log after it";
    AppliedBeforeSync = 50, "entries are applied before they are on this node's disk";
    HardStateForgotten = 50, "a changed term or vote is not written";
    VotesTwice = 50, "a node votes though it has voted for another";
    VoteKeptIntoNewTerm = 50, "the vote of the former term counts in the next";
    VotesForAnyLog = 50, "a vote is given without a look at the candidate's log";
    UpToDateByIndex = 400, "logs are compared by length only";
    UpToDateByTerm = 50, "logs are compared by last term only";
    PreVoteForAnyLog = 50, "a pre-vote is granted whatever the candidate's log";
    PreVoteUnderLeader = 50, "a pre-vote is granted under a live leader";
    VoteUnderLeader = 50, "a vote request deposes a live leader";
    OldVotesCount = 50, "votes of an earlier term are counted";
    OldTermAccepted = 50, "messages of an earlier leader are followed";
    OldAcknowledgementsCount = 50, "acknowledgements of an earlier term are counted";
    HigherTermIgnored = 50, "a higher term deposes nobody";
    OutdatedNotTold = 50, "who is behind is not told the term";
    RefusalsCountAsVotes = 50, "refused votes are counted as given";
    WinsWithHalf = 50, "half of the voters are a majority";
    LowMedian = 50, "one acknowledgement too few commits";
    OneHalfSuffices = 50, "in a joint membership one majority decides";
    OldHalfForgotten = 50, "in a joint membership only the new half counts";
    NoBlankEntry = 50, "a new leader begins without an entry of its own";
    OldTermCommittedByCount = 50, "entries of earlier terms are committed by counting copies";
    NeverStepsDown = 50, "a leader without a quorum stays";
    StalledDiskLeads = 50, "a leader stays though its disk stands still";
    PreviousNotChecked = 50, "entries are taken without a look at the one before";
    ConflictKept = 50, "a conflicting suffix is kept";
    LeaderTruncates = 50, "a leader cuts its own log off where a follower's differs";
    AlwaysTruncates = 50, "every append cuts the log off behind it";
    MatchedIsOwnLast = 50, "a follower acknowledges its whole log";
    CommitNotCapped = 50, "a follower commits beyond what was verified";
    HeartbeatCommitNotCapped = 50, "a heartbeat's commit index is not capped by what matches";
    HintBelievedAsMatch = 50, "a rejection's hint counts as an acknowledgement";
    LateRejectionBelieved = 50, "a late rejection moves the leader back";
    WindowNeverFreed = 50, "an acknowledgement frees no place in the window";
    WindowUnlimited = 50, "appends are sent without regard to the window";
    LostAppendNotResent = 50, "an append that was lost is never sent again";
    ProbeNotRepeated = 50, "a lost probe is not repeated";
    ReadsWithoutRound = 50, "a leader answers reads without asking for its office";
    ReadsBeforeOwnEntry = 50, "a leader answers reads before an entry of its own is committed";
    ReadsJoinRunningRound = 50, "a read is confirmed by a round that began before it";
    ReadsBeforeApplied = 50, "a read is answered before the state machine is there";
    AwaitedEntryIgnored = 50, "a read that waits for an entry waits only for what is committed here";
    AwaitedForEver = 50, "a read that waits in vain for an entry waits for ever";
    AppliedBeforeCommit = 50, "entries are applied before they are committed";
    ReadsLostAtDeposition = 50, "reads wait for ever at a leader that was deposed";
    ForwardedReadsNotRetried = 50, "a forwarded read whose answer is lost waits for ever";
    ReadAnswersSwapped = 2000, "an answer to one forwarded read is taken for another";
    SnapshotMovesBack = 400 story "snapshots/an_old_snapshot_does_not_bring_the_past_back",
        "an old snapshot replaces a newer state";
    SnapshotKeepsLog = 50, "a received snapshot leaves the old log in place";
    SnapshotForgetsMembership = 50, "a received snapshot does not bring its membership";
    SnapshotAlwaysSent = 50, "a snapshot of an earlier leader is installed";
    SnapshotStateStuck = 400, "a snapshot that failed on its way is not sent again";
    SnapshotNotVerified = 400, "what is kept of a received snapshot is not verified, and neither is the whole";
    FailedSyncIgnored = 50, "a sync that failed counts as done";
    DamageTakenForAbsence = 50, "a node with a damaged disk starts as an empty one";
    FloorNotChecked = 400, "an old image of a disk is taken for the newest";
    IdentityNotChecked = 400, "the disk of another node is taken for one's own";
    UnreadableSnapshotKept = 2000 story "snapshots/a_leader_that_cannot_read_its_snapshot_hands_over",
        "a leader stays though it cannot read the snapshot that it owes";
    CampaignsWhileRestoring = 400, "a node campaigns before its snapshot is restored";
    EntriesSkippedAfterFetch = 2000 story "snapshots/what_was_read_before_a_snapshot_is_not_applied_after_it",
        "entries read late from disk are applied wherever they belong";
    MembershipOnCommit = 50, "a leader uses the membership before the one it appended";
    MembershipNotRolledBack = 50, "a truncated membership stays in force";
    TwoChangesAtOnce = 50, "a change begins before the last one is committed";
    ChangeBeforeOwnEntry = 50, "a change begins before the leader has committed anything";
    LearnersCount = 50, "nodes without a vote count for majorities";
    LearnersCampaign = 50, "a node without a vote campaigns";
    VotedOutNeverCampaigns = 400 story "membership/who_is_voted_out_may_still_be_needed",
        "who is voted out cannot lead its removal to the end";
    JointNeverLeft = 50, "a joint membership is never left";
    SettledNotTold = 50, "nobody is told that a change of membership is settled";
    RemovedLeaderStays = 400, "a leader without a vote goes on";
    LearnersPromotedAtOnce = 50, "a vote is given before the node has caught up";
    ProposalsDuringTransfer = 50, "a leader takes proposals while it hands over";
    TransferWithoutCatchUp = 50, "the target of a transfer is told to campaign before it has everything";
    TransferNeverEnds = 50, "a transfer that fails is never given up";
    TimeoutNowFromAnyone = 50, "an order to campaign is followed whoever gives it";
    TimersNotRandom = 400, "all nodes wait equally long";
    LeaderDoesNotResetTimer = 50, "hearing the leader does not keep a follower from campaigning";
    NoHeartbeats = 50, "a leader is not heard while nothing is written";
    OversleptCampaigns = 50, "a node that overslept campaigns before it reads its messages";
    BoundedReadsIgnoreAge = 50, "a bounded read is served however old the state is";
    LeaseNotAskedOfLeader = 50, "a follower answers a lease read without its leader";
    PriorityNeverDecays = 400, "a node never campaigns while another is wanted more";
    FormerSelfCounts = 400 story "incarnations/a_wiped_voter_abstains",
        "a wiped node counts as its former self";
    UnrecordedVotesCount = 400 story "incarnations/an_unmet_member_elects_nobody",
        "votes count of members that the group has not met";
    FormerSelfAcknowledges = 400 story "incarnations/a_former_self_acknowledges_nothing",
        "a wiped node is believed to store what its former self did";
    RepairedVotes = 400 story "repair/a_repaired_node_votes_for_nobody_before_it_is_counted",
        "a node whose stores began anew votes before the group counts its new life";
    RepairNeverEnds = 400 story "repair/a_damaged_voter_is_a_voter_again",
        "a repaired node takes itself for damaged for ever";
    RepairEndsEarly = 400 story "repair/a_repair_is_not_over_before_it_is_committed",
        "a repair is over before the membership that says so is committed";
    AnyLifeSuperseded = 2000 story "repair/a_late_claim_strikes_nobody_off",
        "a leader strikes off a life though another one was said to be over";
    SupersedesStrangers = 400 story "repair/a_life_that_is_not_known_to_be_over_is_let_be",
        "a repaired node says that a life is over of which it knows nothing";
    NeverReadmitted = 50, "a leader leaves a repaired voter without its vote";
    PreVoteSkipped = 50, "a node campaigns without asking whether it could win";
    PreVoteRaisesTerm = 50, "the question whether a vote would be given raises the term";
    CountsItselfTwice = 50, "a leader that looks for its quorum counts itself twice";
    OtherGroupAccepted = 50, "messages of another group are taken in";
    OldTimeoutNowFollowed = 50, "an order to campaign from a leader of the past is followed";
    TimeoutNowWithoutVote = 50, "an order to campaign is followed by who has no vote";
    LeaseFromReply = 50, "a lease is counted from the answer, not from the question";
    LeaseIgnoresDrift = 50, "a lease lasts as long as the promise, whatever the clocks";
    LeaseKeptOnTransfer = 400, "a leader reads by lease after it has told another to campaign";
    PromiseForgotten = 50, "a restarted node does not keep the promise of its former life";
    TruncationNotWritten = 50, "a conflicting suffix is cut off in memory only";
    PurgedBeforeSnapshot = 50, "the log is purged when a snapshot is begun";
    SnapshotTermLost = 50, "a received snapshot's last entry is given another term";
    FetchedNotCompared = 2000 story "replication/entries_that_were_replaced_are_not_sent_from_the_disk",
        "entries that an earlier leadership asked for are sent";
    ProposalsUnlimited = 50, "proposals are taken whatever waits already";
    ForwardTakenTwice = 400, "a leader appends a forwarded proposal each time that it arrives";
    ForwardAnswersSwapped = 400, "an answer to one forwarded proposal is taken for another";
    ForwardAnswerOfAnyTerm = 400, "a forwarded proposal is answered by another entry at its index";
    DeposedCallersRefused = 50,
        "who waits for a deposed leader is told that the write will never be applied";
    DeadlineIgnored = 400, "nobody looks whether a deadline has passed";
    StopForgetsReaders = 50, "a node that stops leaves those alone who wait for a read";
    ForwardInSnapshotRefused = 400,
        "a forwarded proposal that may be in a received snapshot is said to be replaced";
    ForwardAnsweredLateLost = 400,
        "a forwarded proposal that was applied before the leader's answer came is said to be replaced";
    ForwardReplacedNotTold = 400, "a forwarded proposal that was replaced is waited for for ever";
    ForwardWaitsAlone = 2000, "a forwarded proposal is waited for though there is no leader";
    OlderHardStateWritten = 400,
        "of several terms and votes that are written together, the first is kept";
    RepairNotNoted = 400, "the end of a repair is not written down";
    HardStateNotLoaded = 50, "a node that starts does not look for its term and vote";
    FormerLivesNotLoaded = 50, "a node that starts does not look whose damage its stores have seen";
    LogNotAligned = 50, "a node that starts keeps a log that contradicts its snapshot";
    MembershipNotTold = 50, "a state machine is not told of a new membership";
    ResponsesSwapped = 400, "the responses to commands that are applied together are mixed up";
    SnapshotBeforeCommands = 50,
        "a snapshot is taken before the commands are applied that it stands for";
    DelayNeverEnds = 2000, "a snapshot that waited for a restoration is never said to be there";
    OvertakenGoesOn = 2000,
        "a state machine goes on with what follows a backup that it could not read";
    SnapshotInRestoration = 400, "a snapshot is taken between the begin and the end of a restoration";
    RestorationOutlivesTerm = 400, "a restoration goes on under another leader";
    RestorationUnverified = 50, "a restoration ends whatever pieces of it are there";
    SessionsNotSaved = 400, "a snapshot holds the machine, and none of its sessions";
    SessionAnswersNotSaved = 400, "a snapshot holds the sessions, and not what their commands were answered";
    SessionAnswersOfAnyone = 400, "the answer to one session's command is given to another's of that number";
    SessionRepeatApplied = 400, "a command that was answered is applied again when it is repeated";
    SessionSettledApplied = 400, "a command that its client has settled is applied again when it comes late";
    SessionBatchRepeatApplied = 400, "a command that is repeated within a batch is applied twice";
    SessionsNeverExpire = 400, "a session that nobody uses lives for ever";
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether this fault is to be made here and now.
#[cfg(feature = "mutants")]
pub(crate) fn mutant(fault: Mutant) -> bool {
    CHOSEN.get() == Some(fault)
}

/// Whether this fault is to be made: never, for the feature `mutants` is off.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn mutant(_: Mutant) -> bool {
    false
}

/// Chooses the fault for all that this thread runs from now on, or none.
#[cfg(feature = "mutants")]
pub(crate) fn choose(fault: Option<Mutant>) {
    CHOSEN.set(fault);
}

/// Whether this thread runs a fault: what panics there is no news.
#[cfg(feature = "mutants")]
pub(crate) fn is_chosen() -> bool {
    CHOSEN.get().is_some()
}
