//! What a transport may do wrong.

/// One deliberate fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A byte of an entry's payload changes on its way.
    AltersPayloads,
    /// An append without entries is lost: a probe, or a mere commit.
    LosesEmptyAppends,
    /// Every message reaches every node.
    TellsEverybody,
    /// A node hears only those with smaller names.
    GoesOneWay,
    /// What it gives as its address reaches nobody.
    GivesAWrongAddress,
    /// The eleventh peer is one too many.
    HasTenPeers,
    /// A message as large as it says it carries is too large.
    RefusesAtTheLimit,
    /// A message larger than it says it carries is carried.
    DeliversOverTheLimit,
    /// A message larger than it says it carries breaks the connection.
    BreaksOverTheLimit,
    /// A message of half the limit is too large.
    RefusesWhatIsLarge,
    /// Everything for a peer goes through one queue.
    OneLane,
    /// Everything for everybody goes through one queue.
    OneQueue,
    /// `send` waits until the receiver has room.
    WaitsInSend,
    /// The queue for entries has no bound.
    HoldsWithoutBound,
    /// Nothing that is dropped is counted.
    CountsNothing,
    /// A peer that has restarted is never reached again.
    LosesAfterARestart,
    /// A peer that has moved is looked for where it was.
    StaysAtTheFirstAddress,
    /// A peer that has moved is sent everything twice.
    SendsToBothAddresses,
    /// A sender that has restarted is never heard again.
    IsDeafToASuccessor,
    /// A broken connection is kept secret.
    NeverTellsUnreachable,
    /// A peer that was absent once is absent for ever.
    GivesUpOnAbsentPeers,
    /// A task stays behind with every reconnection.
    LeaksTasks,
    /// A file stays open with every reconnection.
    LeaksFiles,
    /// A cut does not cut. (A fault of the backend: the property must not pass on it.)
    CutsNothing,
    /// What was cut stays so.
    NeverHeals,
    /// Every message is sent twice.
    Repeats,
    /// Every other message of a lane waits for the next one, and goes after it.
    Reorders,
    /// While connections break, every message is sent twice.
    RepeatsWhenDisturbed,
    /// While connections break, every other message of a lane goes after the next one.
    ReordersWhenDisturbed,
    /// While connections break, an append arrives without its last entry.
    TearsWhenDisturbed,
    /// Each part of a snapshot is written twice, whatever its place.
    RepeatsParts,
    /// Introductions are not checked.
    HearsStrangers,
    /// Whoever answers at an address is taken for whoever was meant.
    LooksAtAddressesOnly,
    /// `stop` waits until somebody else has ended.
    StopWaits,
    /// `stop` stops nothing.
    StopDoesNothing,
    /// A late `stop` stops whoever has the name now.
    StopsItsSuccessor,
    /// A task holds the inbox for ever.
    KeepsTheInbox,
    /// Snapshots that are not sent are put aside for ever.
    KeepsReaders,
    /// A sender that has stopped goes on sending a snapshot.
    GoesOnAfterItsStop,
    /// A receiver that has stopped goes on receiving a snapshot.
    IgnoresTheReceiversStop,
    /// How sending a snapshot ended is never told.
    NeverTellsOutcomes,
    /// The last byte of a snapshot is not sent.
    TruncatesSnapshots,
    /// A snapshot without bytes is not sent.
    LosesEmptySnapshots,
    /// The second snapshot is one too many.
    SendsOneSnapshotOnly,
    /// A snapshot waits for the one before, whoever that is for.
    SnapshotsTakeTurns,
    /// A failure is told as a success.
    AlwaysTellsSuccess,
    /// What the receiver has of a snapshot is sent again.
    StartsOver,
    /// A snapshot that cannot go on in the middle is given up.
    NeverStartsOver,
    /// That the receiver moves on is never told.
    TellsNoProgress,
    /// A snapshot is read before anybody has asked for it.
    ReadsEverythingFirst,
    /// A snapshot that nobody needs any more is sent to its end.
    IgnoresStaleness,
}
