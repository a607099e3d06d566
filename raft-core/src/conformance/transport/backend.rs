//! What a transport under test brings along.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::process::{ExitCode, Termination};
use std::sync::Arc;
use std::time::Duration;

use crate::hard_state::Identity;
use crate::id::NodeId;
use crate::transport::Transport;

/// A kind of transport under test. One property uses one backend, for all its nodes.
pub trait TransportBackend {
    /// A new transport for the node that `local` names, not yet started. It is called on the
    /// suite's runtime, and may be called for the same node again, as when that restarts.
    ///
    /// The transport listens at `listen`, an address that an earlier one
    /// [was reached at](Endpoint::address) and that is free again since it was stopped; without one
    /// it listens anywhere, at an address that no other node has had. A transport that finds nodes by their
    /// names need not care.
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint;

    /// How long a property waits for what has to happen. Only a property that fails waits for so
    /// long. Default a minute, for loaded machines.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// The size of the largest snapshot, in bytes. It is made up while it is read, and forgotten
    /// while it is written, so it takes time and no memory. Default 1 GiB.
    fn snapshot_bytes(&self) -> u64 {
        1 << 30
    }

    /// What may be on its way to a peer that takes no entries, in bytes: in every queue and buffer
    /// from the sender's `send` to the receiver's inbox. Default 64 MiB.
    fn held_bytes_max(&self) -> usize {
        64 << 20
    }

    /// How often a connection is broken and made again to see whether that leaks. Default 2,000.
    fn reconnects(&self) -> usize {
        2_000
    }

    /// Loses everything between two nodes, both ways, until it is healed, and ends their
    /// connections; `None` if the network cannot be cut, as by default. Other links stay whole.
    fn cut(&mut self, one: NodeId, other: NodeId) -> Option<Heal> {
        let _ = (one, other);
        None
    }

    /// From now on the whole network is as bad as its kind can be, until it is healed: it loses,
    /// repeats, delays, reorders and damages what passes, or breaks connections in the middle of a
    /// message. Chance that begins with `seed` decides what happens to what. Some of it passes
    /// unharmed, so whoever goes on trying is heard. `None` if the network cannot be disturbed, as by
    /// default.
    fn disturb(&mut self, seed: u64) -> Option<Heal> {
        let _ = seed;
        None
    }

    /// What the transport promises besides the contract. Default [`Delivery::AnyHow`].
    fn delivery(&self) -> Delivery {
        Delivery::AnyHow
    }

    /// Whether there is everything that properties may ask for. Then one that is
    /// [skipped](Verdict::Skipped) fails. Default no.
    fn lacks_nothing(&self) -> bool {
        false
    }
}

/// Makes a network whole again that was cut or disturbed.
pub type Heal = Box<dyn FnOnce() + Send>;

/// What a transport promises of repetition and order. The contract promises nothing of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A message may arrive twice, and after one that was sent later.
    AnyHow,
    /// A message arrives once at most. Those of a lane to one life of a node arrive in the order in
    /// which they were sent, though some may be missing.
    OnceInOrder,
}

/// One node's transport, and what is known of it besides the contract.
#[derive(Clone)]
pub struct Endpoint {
    transport: Arc<dyn Transport>,
    address: Option<String>,
    dropped: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
    ended: Option<Arc<dyn Fn() -> Ended + Send + Sync>>,
}

type Ended = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Endpoint {
    /// A transport that others reach at its [`Transport::local_address`].
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            address: None,
            dropped: None,
            ended: None,
        }
    }

    /// Others reach it at `address`.
    #[must_use]
    pub fn reached_at(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// How many messages it has taken in `send`, from its start until now, that reached no inbox and
    /// never will, as far as their sender can know: what was lost with a broken connection may be
    /// missing.
    #[must_use]
    pub fn dropped(mut self, count: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.dropped = Some(Arc::new(count));
        self
    }

    /// Waits until the transport was stopped and its last task has ended.
    #[must_use]
    pub fn ended<F>(mut self, wait: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.ended = Some(Arc::new(move || Box::pin(wait())));
        self
    }

    /// Where others reach it, in the form that stands in a membership.
    pub fn address(&self) -> String {
        let local = || self.transport.local_address().unwrap_or_default();
        self.address.clone().unwrap_or_else(local)
    }

    pub(super) fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }

    pub(super) fn drop_count(&self) -> Option<u64> {
        self.dropped.as_ref().map(|count| count())
    }

    pub(super) fn end(&self) -> Option<Ended> {
        self.ended.as_ref().map(|wait| wait())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// What came of a property that did not fail. A test may end with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The transport has the property.
    Held,
    /// Nothing was looked at, for want of what is named here.
    Skipped(&'static str),
}

impl Termination for Verdict {
    fn report(self) -> ExitCode {
        if let Self::Skipped(want) = self {
            let test = std::thread::current();
            let name = test.name().unwrap_or("a property");
            // The test passes all the same, so whoever runs it should see this even where the output
            // of tests is kept back. Without a standard error, nobody does.
            let _ = writeln!(std::io::stderr(), "{name}: skipped, there is no {want}");
        }
        ExitCode::SUCCESS
    }
}
