//! A network that can be cut: every node is reached through a relay.

use std::sync::{Arc, Mutex, PoisonError};

use raft_core::Identity;
use raft_core::conformance::transport::{Endpoint, Heal, TransportBackend};
use raft_core::id::NodeId;
use raft_transport_tcp::TcpTransport;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::backend::{config, endpoint};

/// Plain TCP through relays. A cut closes the relays of both nodes, which cuts them off from all
/// others that call them too; the suite looks at calls to other nodes only.
#[derive(Default)]
pub(crate) struct Relayed(Vec<Relay>);

struct Relay {
    node: NodeId,
    address: String,
    leads_to: Arc<Mutex<String>>,
    is_open: Arc<watch::Sender<bool>>,
}

impl TransportBackend for Relayed {
    fn open(&mut self, local: Identity, listen: Option<&str>) -> Endpoint {
        let transport = TcpTransport::bind_plaintext("127.0.0.1:0", config());
        let transport = transport.expect("a free address");
        let there = transport.listen_address().to_string();
        let known = self.0.iter().find(|relay| listen == Some(&relay.address));
        let address = match known {
            Some(relay) => {
                *relay
                    .leads_to
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = there;
                relay.address.clone()
            }
            None => {
                let relay = Relay::start(local.node, there);
                let address = relay.address.clone();
                self.0.push(relay);
                address
            }
        };
        endpoint(transport).reached_at(address)
    }

    fn cut(&mut self, one: NodeId, other: NodeId) -> Option<Heal> {
        let theirs = self.0.iter();
        let theirs = theirs.filter(|relay| relay.node == one || relay.node == other);
        let theirs: Vec<_> = theirs.map(|relay| Arc::clone(&relay.is_open)).collect();
        let set = move |open: bool| {
            for is_open in &theirs {
                is_open.send_replace(open);
            }
        };
        set(false);
        Some(Box::new(move || set(true)))
    }
}

impl Relay {
    fn start(node: NodeId, leads_to: String) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free address");
        listener.set_nonblocking(true).expect("no waiting");
        let address = listener.local_addr().expect("an address").to_string();
        let listener = TcpListener::from_std(listener).expect("a listener");
        let leads_to = Arc::new(Mutex::new(leads_to));
        let (is_open, open) = watch::channel(true);
        tokio::spawn(relay(listener, Arc::clone(&leads_to), open));
        Self {
            node,
            address,
            leads_to,
            is_open: Arc::new(is_open),
        }
    }
}

async fn relay(listener: TcpListener, leads_to: Arc<Mutex<String>>, open: watch::Receiver<bool>) {
    while let Ok((mut caller, _)) = listener.accept().await {
        if !*open.borrow() {
            continue;
        }
        let there = leads_to
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut open = open.clone();
        tokio::spawn(async move {
            let Ok(mut called) = TcpStream::connect(there).await else {
                return;
            };
            tokio::select! {
                // First, so that not a byte passes after the cut.
                biased;
                _ = open.wait_for(|open| !open) => {}
                _ = copy_bidirectional(&mut caller, &mut called) => {}
            }
        });
    }
}
