//! The situations that simulated lives should meet sometimes: proof that the rare paths were taken.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! situations {
    ($($name:ident = $text:literal,)*) => {
        /// A situation that a long enough simulation should meet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Situation {
            $(
                #[doc = $text]
                $name,
            )*
        }

        impl Situation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is, in words.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

situations! {
    LeaderCrashedWithUncommitted = "a leader crashes with entries that are not committed",
    LeaderCrashedUnsynced = "a leader crashes with entries on their way to its disk",
    FollowerCrashedUnsynced = "a follower crashes with entries on their way to its disk",
    CrashedBetweenVoteAndSync = "a node crashes with its vote on the way to the disk",
    CandidateCrashed = "a candidate crashes",
    LeaderCrashedInJoint = "a leader crashes in a joint membership",
    LeaderCrashedInTransfer = "a leader crashes while it hands over",
    CrashedWhileRestoring = "a node crashes before a received snapshot is restored",
    CrashedWhilePaused = "a paused node crashes",
    WriteTorn = "a crash tears a write between two entries",
    UnsyncedWriteSurvived = "a write that was not synced survives a crash",
    UnsyncedWriteLost = "a crash takes writes that were not synced",
    HardStateAheadOfEntries = "a crash leaves term and vote, but not the entries before them",
    MajorityDown = "a majority of all nodes is down",
    EveryoneDown = "every node is down",
    StartedFromSnapshot = "a node starts from a snapshot",
    StartedBehindSnapshot = "a node starts with a snapshot that its log does not reach",
    StartedAsStranger = "a node without a membership starts",
    SuffixTruncated = "a follower truncates a conflicting suffix",
    SuffixOfTermsTruncated = "a truncated suffix spans more than one term",
    MembershipTruncated = "a truncated suffix held a membership",
    UnsyncedSuffixTruncated = "a suffix is truncated that never reached the disk",
    LeaderElected = "a leader is elected",
    TwoLeaders = "a leader is elected while an older one still leads",
    ElectedWithInheritance = "a leader inherits entries that are not committed",
    ElectedInJoint = "a leader is elected in a joint membership",
    ElectedAlone = "a single voter elects itself",
    CandidateDefeated = "a candidate is refused, or follows another",
    CandidateTimedOut = "a candidate's election ends without a winner",
    PreCandidateDefeated = "a pre-candidate gives up",
    DeposedByTerm = "a leader is deposed by a later term",
    SteppedDownAlone = "a leader steps down in its own term",
    DiskStalledLeader = "a leader steps down because its disk stands still",
    PreVoteRefused = "a pre-vote is refused",
    VoteRefused = "a vote is refused",
    VoteIgnored = "a request for a vote is ignored under a live leader",
    InheritanceCommitted = "an entry of an earlier term is committed with one of the leader's own",
    CommittedInJoint = "a leader commits in a joint membership",
    OldAppend = "an append of an earlier term arrives",
    OldAcknowledgement = "an acknowledgement of an earlier term arrives",
    OldVoteReply = "a vote of an earlier term arrives",
    OldTimeoutNow = "an order to campaign of an earlier term arrives",
    AppendRejected = "an append is rejected",
    AppendOfMany = "an append carries several entries",
    MessageOutlivedSender = "a message arrives from a node that is down",
    MessageToTheDead = "a message arrives at a node that is down",
    MessageToStranger = "a message arrives at a node that does not belong to its own membership",
    FetchedForPeer = "entries for a follower are read from disk",
    FetchedForMachine = "entries for the state machine are read from disk",
    FetchPurged = "entries are wanted that are purged",
    SnapshotSent = "a snapshot is sent",
    SnapshotLost = "a snapshot is lost on its way",
    StreamCut = "the stream of a snapshot breaks when some of it has arrived",
    StreamResumed = "the stream of a snapshot goes on where it broke",
    StreamResumedAfterRestart = "the stream of a snapshot goes on after its receiver was restarted",
    StreamResumedByAnother = "the stream of a snapshot goes on from another leader",
    StreamTorn = "a crash tears the part of a snapshot that has arrived",
    StreamEndedAsStale = "the stream of a snapshot is ended, for it is of an earlier term or brings nothing",
    SnapshotToTheDead = "a snapshot arrives at a node that is down",
    SnapshotInstalled = "a received snapshot replaces a log",
    SnapshotReplacedConflict = "a received snapshot replaces entries, some of them beyond its end",
    SnapshotUnneeded = "a snapshot arrives that brings nothing",
    SnapshotOfOldTerm = "a snapshot of an earlier term arrives",
    SnapshotTakenInJoint = "a snapshot is taken in a joint membership",
    LeaderRead = "a read is answered by the leader",
    FollowerRead = "a read is answered by a follower",
    LearnerRead = "a read is answered by a node without a vote",
    ReadAcrossLeaders = "a read outlives the term in which it began",
    ReadFailed = "a read fails",
    AwaitedEntryRead = "a read waits for an entry, and reflects it",
    AwaitedEntryMissed = "a read waits in vain for an entry",
    LocalReadLags = "a local read reflects less than is known elsewhere",
    LocalReadWithoutLeader = "a local read is answered by a node that knows no leader",
    WriteOverloaded = "a write is refused as overload",
    WriteInTransfer = "a write is refused during a transfer",
    WriteLostItsLeader = "a write is appended, and its leader is deposed",
    WriteInAnotherTerm = "a write is refused, for the term is another than it was meant for",
    DeadlinePassed = "the deadline of a write passes after it was appended",
    ForwardOverwritten = "a write that was sent on is replaced by another leader's entry",
    ForwardLeftToSnapshot = "a write that was sent on may be in a snapshot that its node got",
    JointEntered = "a joint membership begins",
    SeveralReplaced = "a joint membership changes more than two votes at once",
    LeaderInOldHalfOnly = "a leader belongs to the old half only",
    ChangeInherited = "a change is led to its end by another leader than began it",
    ChangeRefused = "a change of membership is refused",
    ChangeSettled = "a change of membership is settled",
    LeaderVotedOut = "a leader without a vote retires",
    VotedOutCampaigned = "a node campaigns that its own newest membership gives no vote",
    TransferSucceeded = "a transfer of leadership succeeds",
    TransferFailed = "a transfer of leadership fails",
    LeaderPaused = "a leader is paused",
    ResumedLeaderAsked = "a leader is asked the moment it goes on after a pause",
    SeveralPaused = "several nodes are paused at once",
    LeaderCutOff = "a leader is cut off from a majority of nodes",
    OneWayCut = "a link is cut in one direction only",
    DiskStalled = "a disk stands still for longer than a leader may",
    StoppedByFullDisk = "a node stops because its disk is full",
    StoppedByFailedWrite = "a node stops because a write failed",
    LeaderStoppedByFailedSync = "a leader stops because a sync failed",
    SnapshotWithoutRoom = "a snapshot is given up because the disk is full",
    DamageFoundWhileRunning = "a node reads damage and stops",
    DamageFoundAtStart = "a node finds damage when it starts, and does not start",
    ForeignDiskFound = "a node finds an old image of its disk, or another node's, and does not start",
    StartedPastDamagedSnapshot = "a node starts from an older snapshot than its newest, which is damaged",
    SnapshotUnreadable = "a leader cannot read the snapshot that it owes",
    LeaderLostItsDisk = "a leader loses its disk",
    LostNodeReplaced = "a lost node is replaced by a new one",
    DamagedVoterBack = "a node with a damaged disk became a voter again by itself",
    WipedNodeBack = "a node that came back empty is removed, added again, and has its vote",
    DamagedDuringRepair = "a node finds damage again before it is a voter again",
    StateReplacedByBackup = "a backup replaces the state of a node",
    LeaderLostInRestoration = "a leader is lost before it has ended a restoration",
    SnapshotDelayed = "a snapshot waits for the end of a restoration",
    RestorationLeftToSnapshot = "a snapshot is installed in the middle of a restoration",
    LeadersClockJumped = "a leader's clock jumps",
}

/// How often each situation was met.
#[derive(Clone, Debug, Default)]
pub struct Situations(BTreeMap<Situation, u64>);

impl Situations {
    pub(super) fn meet(&mut self, situation: Situation) {
        *self.0.entry(situation).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (situation, count) in &other.0 {
            *self.0.entry(*situation).or_default() += count;
        }
    }

    /// Every situation and how often it was met, zero included.
    pub fn counts(&self) -> impl Iterator<Item = (Situation, u64)> {
        let count = |situation: &Situation| self.0.get(situation).copied().unwrap_or(0);
        Situation::ALL
            .iter()
            .map(move |situation| (*situation, count(situation)))
    }

    /// Those that were never met.
    pub fn unmet(&self) -> Vec<Situation> {
        let counts = self.counts();
        counts
            .filter_map(|(situation, count)| (count == 0).then_some(situation))
            .collect()
    }
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
