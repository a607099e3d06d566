//! Snapshots, sent by hand, so that it can be done wrongly.

use std::io::{self, Cursor, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::id::NodeId;
use raft_core::store::SnapshotRead;
use raft_core::transport::{OutboundSnapshot, SnapshotIntake};

use super::fault::Fault;
use super::world::{Started, World};

/// Sends `snapshot` and tells its node how that ended, but for the fault.
pub(crate) async fn copy(
    fault: Fault,
    world: Arc<World>,
    from: Started,
    to: NodeId,
    snapshot: OutboundSnapshot,
) {
    let (term, last) = (snapshot.term, snapshot.meta.id());
    let sender = from.clone();
    let copied = tokio::task::spawn_blocking(move || write(fault, &world, &sender, to, snapshot));
    let outcome = copied.await.unwrap();
    let outcome = match fault {
        Fault::NeverTellsOutcomes => return,
        Fault::AlwaysTellsSuccess => Ok(()),
        _ => outcome.map_err(|error| error.to_string()),
    };
    // A node that has stopped does not want to know.
    let _ = from.inbox.snapshot_sent(to, term, last, outcome).await;
}

fn write(
    fault: Fault,
    world: &World,
    from: &Started,
    to: NodeId,
    mut snapshot: OutboundSnapshot,
) -> io::Result<()> {
    let receiver = world.find(to).ok_or(io::ErrorKind::NotConnected)?;
    if fault == Fault::ReadsEverythingFirst {
        let mut all = Vec::new();
        snapshot.data.read_to_end(&mut all)?;
        snapshot.data = Box::new(Cursor::new(Bytes::from(all)));
    }
    let (node, term, meta) = (from.local.node, snapshot.term, snapshot.meta.clone());
    let intake = receiver.inbox.receive_snapshot(node, term, meta);
    let mut incoming = match intake.map_err(io::Error::other)? {
        SnapshotIntake::Wanted(incoming) => incoming,
        SnapshotIntake::Unneeded => return Ok(()),
    };
    let kept = incoming.kept();
    let gives_up = fault == Fault::NeverStartsOver && kept.size > 0;
    if gives_up && !snapshot.data.start_after(kept)? {
        return Err(io::Error::other("it cannot go on in the middle"));
    }
    for part in snapshot.parts(kept, 256 << 10)? {
        let part = part?;
        let is_there = |it: &Started| world.all().iter().any(|other| other.number == it.number);
        let goes_on = is_there(from) || fault == Fault::GoesOnAfterItsStop;
        let arrives = is_there(&receiver) || fault == Fault::IgnoresTheReceiversStop;
        if !goes_on || !arrives {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if fault != Fault::IgnoresStaleness && !incoming.is_wanted()? {
            incoming.discard();
            return Ok(());
        }
        incoming.take(part.offset, &part.data)?;
        if fault == Fault::RepeatsParts {
            incoming.write_all(&part.data)?;
        }
        if fault != Fault::TellsNoProgress {
            from.inbox.snapshot_progressed(to, term);
        }
    }
    incoming.finish()
}

/// Cannot begin anywhere but at its beginning.
pub(crate) struct FromTheBeginning(pub(crate) Box<dyn SnapshotRead>);

impl Read for FromTheBeginning {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl SnapshotRead for FromTheBeginning {}

/// Ends after so many bytes.
pub(crate) struct Ending(pub(crate) io::Take<Box<dyn SnapshotRead>>);

impl Read for Ending {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl SnapshotRead for Ending {}
