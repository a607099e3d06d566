//! Room for callers: so many in all, and so many of one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::TransportConfig;

/// The seats that are free, as [`TransportConfig`] says.
#[derive(Debug)]
pub struct Seats {
    room: Arc<Semaphore>,
    per_address_max: usize,
    /// How many each address has. Bounded by the seats that there are.
    taken: Mutex<BTreeMap<IpAddr, usize>>,
}

/// A caller's place, free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    address: Option<IpAddr>,
    _permit: OwnedSemaphorePermit,
}

/// The setting that leaves no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full(pub &'static str);

impl Seats {
    /// All of them.
    pub fn new(config: &TransportConfig) -> Self {
        Self {
            room: Arc::new(Semaphore::new(config.inbound_connections_max)),
            per_address_max: config.inbound_connections_per_address_max,
            taken: Mutex::default(),
        }
    }

    /// Takes a seat for a caller from `address`, if that is known.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Seat, Full> {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.map_err(|_| Full("inbound_connections_max"))?;
        if let Some(address) = address {
            let mut taken = self.taken();
            let of_address = taken.entry(address).or_default();
            if *of_address >= self.per_address_max {
                return Err(Full("inbound_connections_per_address_max"));
            }
            *of_address += 1;
        }
        Ok(Seat {
            seats: Arc::clone(self),
            address,
            _permit: permit,
        })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(address) = self.address else {
            return;
        };
        let mut taken = self.seats.taken();
        if let Some(of_address) = taken.get_mut(&address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(all: usize, per_address: usize) -> Arc<Seats> {
        let config = TransportConfig {
            inbound_connections_max: all,
            inbound_connections_per_address_max: per_address,
            ..TransportConfig::default()
        };
        Arc::new(Seats::new(&config))
    }

    #[test]
    fn one_address_leaves_room_for_the_others() {
        let seats = seats(3, 2);
        let loud = Some(IpAddr::from([10, 0, 0, 1]));
        let quiet = Some(IpAddr::from([10, 0, 0, 2]));
        let kept: Vec<Seat> = (0..2).map(|_| seats.take(loud).unwrap()).collect();
        let full = seats.take(loud).unwrap_err();
        assert_eq!(full, Full("inbound_connections_per_address_max"));
        let third = seats.take(quiet).unwrap();
        assert_eq!(
            seats.take(quiet).unwrap_err(),
            Full("inbound_connections_max")
        );
        drop((kept, third));
        assert!(seats.taken().is_empty(), "nothing is kept of who has left");
        seats.take(loud).unwrap();
    }

    #[test]
    fn a_caller_without_an_address_counts_among_all() {
        let seats = seats(1, 1);
        let seat = seats.take(None).unwrap();
        assert!(seats.take(None).is_err());
        drop(seat);
        seats.take(None).unwrap();
    }
}
