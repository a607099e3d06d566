//! Ports on which nothing listens.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::failure::Failure;

/// So many free ports of the loopback address.
///
/// They lie below those that the system gives to outgoing connections: a node that is down must
/// find its port free when it comes back. Processes begin at different places, and one process
/// never gives out a port twice until it has been through all.
///
/// # Errors
/// [`Failure`] if there are not that many.
pub fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let offset = u16::try_from(std::process::id() % u32::from(PORTS)).unwrap_or_default();
    let mut ports = Vec::with_capacity(count);
    for _ in 0..PORTS {
        if ports.len() == count {
            return Ok(ports);
        }
        // Neighbouring processes begin far from one another.
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let at = offset.wrapping_mul(STRIDE).wrapping_add(step) % PORTS;
        let port = FIRST + at;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            ports.push(port);
        }
    }
    Err(Failure::new(format!(
        "there are no {count} free ports from {FIRST} to {} on this machine",
        FIRST + PORTS
    )))
}

const FIRST: u16 = 12_000;
const PORTS: u16 = 20_000;
const STRIDE: u16 = 61;

static NEXT: AtomicU16 = AtomicU16::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_given_out_once() {
        let mut ports = free_ports(4).unwrap();
        ports.extend(free_ports(4).unwrap());
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
