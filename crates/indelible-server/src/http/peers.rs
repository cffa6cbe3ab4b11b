//! How many connections each address has. None may have all of them: whoever opens as many as it can would keep everybody else
//! out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// The part of all connections that one address leaves to others: an eighth. More would hurt where a proxy brings everybody.
const OTHERS: usize = 8;

/// Addresses with connections that are open.
#[derive(Debug)]
pub(crate) struct Peers {
    each: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection of an address, until it is let go.
#[derive(Debug)]
pub(crate) struct Seat {
    peers: Arc<Peers>,
    address: IpAddr,
}

impl Peers {
    /// `most`: connections of all addresses.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { each: most - most / OTHERS, open: Mutex::default() })
    }

    /// A place for one more connection of this address, if it may have one.
    pub(crate) fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = whose(address);
        let mut open = self.open.lock();
        let count = open.entry(address).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Seat { peers: Arc::clone(self), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// Of IPv6, the network: everybody has 2^64 addresses of one.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leaves_an_eighth_to_others_and_what_it_lets_go_is_free() {
        let peers = Peers::new(16);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut seats: Vec<_> = (0..14).map(|_| peers.seat(address("192.0.2.1")).unwrap()).collect();
        assert!(peers.seat(address("192.0.2.1")).is_none() && peers.seat(address("::ffff:192.0.2.1")).is_none());
        let other = peers.seat(address("192.0.2.2")).unwrap();
        seats.pop();
        seats.push(peers.seat(address("192.0.2.1")).unwrap());
        assert!(peers.seat(address("192.0.2.1")).is_none());
        drop((seats, other));
        assert!(peers.open.lock().is_empty(), "no address is remembered without a connection");
        assert_eq!(whose(address("2001:db8:1:2:3::4")), whose(address("2001:db8:1:2:ffff::")));
        assert_ne!(whose(address("2001:db8:1:2::")), whose(address("2001:db8:1:3::")));
        // Few connections are everybody's.
        assert_eq!(Peers::new(7).each, 7);
    }
}
