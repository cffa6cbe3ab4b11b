//! IP networks: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! An IPv4 address written inside IPv6 (`::ffff:10.0.0.1`) is that IPv4 address; other than that the families do not mix.

use std::net::IpAddr;

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads an address, or an address and the number of bits that count. Bits behind those may be set.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let written: IpAddr = address.parse().ok()?;
        let mut prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= width(written))?,
            None => width(written),
        };
        let mut address = written.to_canonical();
        if width(address) < width(written) {
            match prefix.checked_sub(96) {
                Some(rest) => prefix = rest,
                // More than the mapped range: it stays an IPv6 network.
                None => address = written,
            }
        }
        Some(Self { address, prefix })
    }

    /// Whether `text` is an address in it.
    pub(super) fn contains(&self, text: &[u8]) -> bool {
        // The longest way to write an address takes 45 bytes.
        let address = Some(text).filter(|text| text.len() <= 45).and_then(|text| std::str::from_utf8(text).ok());
        let Some(address) = address.and_then(|text| text.parse::<IpAddr>().ok()) else { return false };
        let address = address.to_canonical();
        let shift = |address| width(address) - self.prefix;
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                (ours.to_bits() ^ other.to_bits()).checked_shr(shift(address)).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                (ours.to_bits() ^ other.to_bits()).checked_shr(shift(address)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("::ffff:10.0.0.0/104", "10.1.1.1", true),
            ("2001:db8::/32", "2001:DB8:0:0::7", true),
            ("2001:db8::/32", "2001:db9::7", false),
            ("::1", "0:0:0:0:0:0:0:1", true),
            ("10.0.0.0/8", "not an address", false),
            ("10.0.0.0/8", "", false),
        ] {
            assert_eq!(Network::parse(network).unwrap().contains(address.as_bytes()), expected, "{address} in {network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "host", "10.*", "/8"] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
