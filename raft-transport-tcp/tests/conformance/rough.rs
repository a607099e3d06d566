//! A network that can be cut and disturbed: every node is reached through something in between.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use raft_core::Identity;
use raft_core::conformance::transport::{Delivery, Endpoint, Heal, TransportBackend};
use raft_core::id::NodeId;
use raft_transport_stream::TransportConfig;
use tokio::sync::watch;

use crate::Carrier;
use crate::backend::{config, endpoint};
use crate::chance::Chance;

/// Transports over a rough network. A cut cuts both nodes off from all others that call them, too;
/// the suite looks at calls to other nodes only.
pub(crate) struct Rough<Bind> {
    bind: Bind,
    between: Between,
    reached: Vec<Reached>,
    disturbance: Disturbance,
}

/// Starts what stands between a node and its callers, and says where it listens.
pub(crate) type Between = fn(Weather) -> String;

type Disturbance = Arc<Mutex<Option<Chance>>>;

struct Reached {
    node: NodeId,
    address: String,
    leads_to: Arc<Mutex<String>>,
    is_open: Arc<watch::Sender<bool>>,
}

/// What happens to whatever passes on its way to and from one node.
#[derive(Clone)]
pub(crate) struct Weather {
    leads_to: Arc<Mutex<String>>,
    /// False while it is cut.
    pub(crate) open: watch::Receiver<bool>,
    disturbance: Disturbance,
}

impl<Bind> Rough<Bind> {
    pub(crate) fn new(bind: Bind, between: Between) -> Self {
        Self {
            bind,
            between,
            reached: Vec::new(),
            disturbance: Disturbance::default(),
        }
    }

    /// The way to a node that has just come, at the address of an earlier one or a new one.
    fn way(&mut self, node: NodeId, there: String, listen: Option<&str>) -> String {
        let known = self.reached.iter();
        let mut known = known.filter(|reached| listen == Some(&reached.address));
        if let Some(reached) = known.next() {
            *lock(&reached.leads_to) = there;
            return reached.address.clone();
        }
        let leads_to = Arc::new(Mutex::new(there));
        let (is_open, open) = watch::channel(true);
        let address = (self.between)(Weather {
            leads_to: Arc::clone(&leads_to),
            open,
            disturbance: Arc::clone(&self.disturbance),
        });
        self.reached.push(Reached {
            node,
            address: address.clone(),
            leads_to,
            is_open: Arc::new(is_open),
        });
        address
    }
}

impl<Bind> TransportBackend for Rough<Bind>
where
    Bind: Fn(Identity, &str, TransportConfig) -> io::Result<Carrier>,
{
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
        let bound = (self.bind)(local, "127.0.0.1:0", config());
        let transport = bound.expect("a free address");
        let there = transport.listen_address().to_string();
        let address = self.way(local.node, there, listen);
        endpoint(transport).reached_at(address)
    }

    fn cut(&mut self, one: NodeId, other: NodeId) -> Option<Heal> {
        let theirs = self.reached.iter();
        let theirs = theirs.filter(|reached| reached.node == one || reached.node == other);
        let theirs: Vec<_> = theirs.map(|reached| Arc::clone(&reached.is_open)).collect();
        let set = move |open: bool| {
            for is_open in &theirs {
                is_open.send_replace(open);
            }
        };
        set(false);
        Some(Box::new(move || set(true)))
    }

    fn disturb(&mut self, seed: u64) -> Option<Heal> {
        let disturbance = Arc::clone(&self.disturbance);
        *lock(&disturbance) = Some(Chance::from_seed(seed));
        Some(Box::new(move || {
            let chance = lock(&disturbance).take();
            let was_asked = chance.is_some_and(|chance| chance.was_asked());
            assert!(was_asked, "nothing has passed the disturbed network");
        }))
    }

    fn delivery(&self) -> Delivery {
        Delivery::OnceInOrder
    }

    fn lacks_nothing(&self) -> bool {
        true
    }
}

impl Weather {
    /// Where the node is now.
    pub(crate) fn destination(&self) -> String {
        lock(&self.leads_to).clone()
    }

    pub(crate) fn is_cut(&self) -> bool {
        !*self.open.borrow()
    }

    /// What chance makes of it, while the network is disturbed.
    pub(crate) fn disturbed<T>(&self, what: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        lock(&self.disturbance).as_mut().map(what)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
