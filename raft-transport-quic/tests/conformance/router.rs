//! A router for datagrams: it drops them when it is cut, and when it is disturbed it drops, repeats,
//! delays, reorders and damages them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::rough::Weather;

const DATAGRAM_BYTES_MAX: usize = 1 << 16;
/// A datagram that is held back goes on after up to so many others.
const OTHERS_MAX: u64 = 20;

/// Starts a router, and says where it listens.
pub(crate) fn route(weather: Weather) -> String {
    let inner = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free address");
    inner.set_nonblocking(true).expect("no waiting");
    let address = inner.local_addr().expect("an address").to_string();
    let inner = UdpSocket::from_std(inner).expect("a socket");
    tokio::spawn(there(Arc::new(inner), weather));
    address
}

/// From every caller to the node. What comes back is carried by tasks that end with this one.
async fn there(inner: Arc<UdpSocket>, weather: Weather) {
    let mut callers: BTreeMap<SocketAddr, (Arc<UdpSocket>, Passage)> = BTreeMap::new();
    let mut answers = JoinSet::new();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok((length, caller)) = inner.recv_from(&mut datagram).await {
        let (outer, passage) = match callers.entry(caller) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let outer = UdpSocket::bind("127.0.0.1:0").await;
                let outer = Arc::new(outer.expect("a free address"));
                answers.spawn(back(
                    Arc::clone(&outer),
                    (Arc::clone(&inner), caller),
                    Passage::new(weather.clone()),
                ));
                new.insert((outer, Passage::new(weather.clone())))
            }
        };
        let (datagram, _) = datagram.split_at(length);
        for datagram in passage.pass(datagram) {
            // Whoever is not there does not hear it.
            let _ = outer.send_to(&datagram, weather.destination()).await;
        }
    }
}

/// From the node to one caller.
async fn back(
    outer: Arc<UdpSocket>,
    (inner, caller): (Arc<UdpSocket>, SocketAddr),
    mut passage: Passage,
) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok((length, _)) = outer.recv_from(&mut datagram).await {
        let (datagram, _) = datagram.split_at(length);
        for datagram in passage.pass(datagram) {
            // As on the way there.
            let _ = inner.send_to(&datagram, caller).await;
        }
    }
}

/// One way of one caller.
struct Passage {
    weather: Weather,
    /// With the number of others that go first.
    held_back: Vec<(u64, Vec<u8>)>,
}

enum Fate {
    Passes,
    IsLost,
    IsRepeated { after: u64 },
    IsHeldBack { until: u64 },
    IsAltered { at: usize },
}

impl Passage {
    fn new(weather: Weather) -> Self {
        Self {
            weather,
            held_back: Vec::new(),
        }
    }

    /// What goes on when `datagram` has come.
    fn pass(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        if self.weather.is_cut() {
            self.held_back.clear();
            return Vec::new();
        }
        for (others, _) in &mut self.held_back {
            *others = others.saturating_sub(1);
        }
        let due = self.held_back.extract_if(.., |(others, _)| *others == 0);
        let mut passing: Vec<Vec<u8>> = due.map(|(_, datagram)| datagram).collect();
        let mut datagram = datagram.to_vec();
        let drawn = self
            .weather
            .disturbed(|chance| Fate::draw(chance, datagram.len()));
        match drawn.unwrap_or(Fate::Passes) {
            Fate::Passes => passing.insert(0, datagram),
            Fate::IsLost => {}
            Fate::IsRepeated { after } => {
                self.held_back.push((after, datagram.clone()));
                passing.insert(0, datagram);
            }
            Fate::IsHeldBack { until } => self.held_back.push((until, datagram)),
            Fate::IsAltered { at } => {
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= 0x10;
                }
                passing.insert(0, datagram);
            }
        }
        passing
    }
}

impl Fate {
    /// Of a datagram of so many bytes. Three of four pass.
    fn draw(chance: &mut Chance, length: usize) -> Self {
        match chance.below(100) {
            0..5 => Self::IsLost,
            5..12 => Self::IsRepeated {
                after: 1 + chance.below(OTHERS_MAX),
            },
            12..22 => Self::IsHeldBack {
                until: 1 + chance.below(OTHERS_MAX),
            },
            22..25 => Self::IsAltered {
                at: chance.index(length.max(1)),
            },
            _ => Self::Passes,
        }
    }
}
