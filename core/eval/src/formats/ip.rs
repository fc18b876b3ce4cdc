//! IP addresses and CIDR blocks, from text to integers.

/// An address ready for comparison. An IPv4-mapped IPv6 address is the IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpKey {
    /// IPv4, first octet in the highest byte.
    V4(u32),
    /// IPv6, first group in the highest 16 bits.
    V6(u128),
}

/// Reads an IPv4 or IPv6 address; `None` for everything else (no zone, brackets or prefix).
#[inline]
pub fn parse_addr(text: &str) -> Option<IpKey> {
    match parse_unmapped(text.as_bytes())? {
        IpKey::V6(address) if is_mapped(address) => Some(IpKey::V4(low32(address))),
        key => Some(key),
    }
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cidr {
    /// IPv4 addresses that equal `network` in the bits of `mask`.
    V4 {
        /// Bits beyond the prefix are zero.
        network: u32,
        /// Ones in the prefix.
        mask: u32,
    },
    /// IPv6 addresses that equal `network` in the bits of `mask`.
    V6 {
        /// Bits beyond the prefix are zero.
        network: u128,
        /// Ones in the prefix.
        mask: u128,
    },
}

/// Why a text is no CIDR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CidrError {
    /// No `/`.
    NoPrefix,
    /// What stands before the `/` is no address.
    BadAddress,
    /// What stands after the `/` is no decimal number of 0 to 32 (IPv4) or 0 to 128 (IPv6) without leading zeros.
    BadPrefix,
    /// An IPv4-mapped IPv6 address: such attributes are compared as IPv4.
    Mapped,
}

impl core::fmt::Display for CidrError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoPrefix => "no prefix length; write it after a slash, as in 10.0.0.0/8, or /32 (IPv6: /128) for a single address",
            Self::BadAddress => "what stands before the slash is no IP address; write IPv4 as 10.0.0.0 without leading zeros, IPv6 as 2001:db8::",
            Self::BadPrefix => "the prefix length must be a number from 0 to 32 (IPv6: 128) without leading zeros",
            Self::Mapped => "an IPv4-mapped IPv6 block; write the IPv4 block instead (::ffff:10.0.0.0/104 is 10.0.0.0/8)",
        })
    }
}

impl core::error::Error for CidrError {}

impl Cidr {
    /// Reads `address/prefix`; bits beyond the prefix are ignored.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError::NoPrefix)?;
        let address = parse_unmapped(address.as_bytes()).ok_or(CidrError::BadAddress)?;
        let prefix = prefix_length(prefix.as_bytes()).ok_or(CidrError::BadPrefix)?;
        match address {
            IpKey::V4(address) => {
                // A shift by the whole width has no defined value: prefix 0 is the mask 0.
                let beyond = 32u32.checked_sub(prefix).ok_or(CidrError::BadPrefix)?;
                let mask = u32::MAX.checked_shl(beyond).unwrap_or(0);
                Ok(Self::V4 {
                    network: address & mask,
                    mask,
                })
            }
            IpKey::V6(address) if is_mapped(address) => Err(CidrError::Mapped),
            IpKey::V6(address) => {
                let beyond = 128u32.checked_sub(prefix).ok_or(CidrError::BadPrefix)?;
                let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
                Ok(Self::V6 {
                    network: address & mask,
                    mask,
                })
            }
        }
    }

    /// Whether `address` lies in this block. IPv4 and IPv6 never match each other.
    #[inline]
    pub fn contains(&self, address: IpKey) -> bool {
        match (*self, address) {
            (Self::V4 { network, mask }, IpKey::V4(address)) => address & mask == network,
            (Self::V6 { network, mask }, IpKey::V6(address)) => address & mask == network,
            _ => false,
        }
    }
}

/// 1 to 3 digits without leading zeros.
fn prefix_length(text: &[u8]) -> Option<u32> {
    if text.len() > 3 || matches!(text, [] | [b'0', _, ..]) {
        return None;
    }
    let mut value = 0u32;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    Some(value)
}

#[inline]
fn is_mapped(address: u128) -> bool {
    address >> 32 == 0xffff
}

#[inline]
fn low32(address: u128) -> u32 {
    (address & 0xffff_ffff) as u32
}

#[inline]
fn parse_unmapped(text: &[u8]) -> Option<IpKey> {
    // The longest IPv4 text has 15 bytes and the colon of an IPv6 one stands among its first five.
    if text.iter().take(5).any(|&byte| byte == b':') {
        parse_v6(text).map(IpKey::V6)
    } else {
        parse_v4(text).map(IpKey::V4)
    }
}

/// Four decimal numbers of 0 to 255 without leading zeros.
#[inline]
fn parse_v4(text: &[u8]) -> Option<u32> {
    let mut address = 0u32;
    let mut octet: Option<u32> = None;
    let mut dots = 0u32;
    for &byte in text {
        if byte == b'.' {
            address = (address << 8) | octet.take()?;
            dots = dots.saturating_add(1);
            continue;
        }
        let digit = u32::from(byte.wrapping_sub(b'0'));
        let value = match octet {
            _ if digit > 9 => return None,
            None => digit,
            Some(0) => return None,
            Some(before) => before.wrapping_mul(10).wrapping_add(digit),
        };
        if value > 255 {
            return None;
        }
        octet = Some(value);
    }
    (dots == 3).then_some((address << 8) | octet?)
}

/// RFC 4291, section 2.2: eight groups, one run of which `::` may stand for, the last two of which may be an IPv4 address.
fn parse_v6(text: &[u8]) -> Option<u128> {
    // Longest: six groups of four digits with their colons, and 15 bytes of IPv4.
    if text.len() > 45 {
        return None;
    }
    let mut rest = text;
    let mut address = 0u128;
    let mut groups = 0u32;
    // How many groups stand before `::`.
    let mut gap: Option<u32> = None;
    if let Some(after) = rest.strip_prefix(b"::") {
        gap = Some(0);
        rest = after;
    }
    // After `::` the text may end; after a single `:` a group must follow.
    let mut must_follow = gap.is_none();
    while must_follow || !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b':').unwrap_or(rest.len());
        let (group, after) = rest.split_at_checked(end)?;
        if after.is_empty() && group.contains(&b'.') {
            address = (address << 32) | u128::from(parse_v4(group)?);
            groups = groups.saturating_add(2);
            break;
        }
        address = (address << 16) | u128::from(hex_group(group)?);
        groups = groups.saturating_add(1);
        must_follow = false;
        rest = after;
        if let Some(after) = rest.strip_prefix(b"::") {
            if gap.is_some() {
                return None;
            }
            gap = Some(groups);
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b":") {
            rest = after;
            must_follow = true;
        }
        if groups > 8 {
            return None;
        }
    }
    match gap {
        None => (groups == 8).then_some(address),
        Some(before) => {
            // `::` stands for at least one group; what stands before it moves up by the groups it stands for.
            let missing = 8u32.checked_sub(groups).filter(|&missing| missing > 0)?;
            let tail_bits = groups.checked_sub(before)?.checked_mul(16)?;
            let tail_mask = 1u128.checked_shl(tail_bits)?.wrapping_sub(1);
            let head = (address & !tail_mask)
                .checked_shl(missing.checked_mul(16)?)
                .unwrap_or(0);
            Some(head | (address & tail_mask))
        }
    }
}

/// 1 to 4 hex digits.
#[inline]
fn hex_group(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    let mut value = 0u16;
    for &byte in text {
        let digit = match byte {
            b'0'..=b'9' => byte.wrapping_sub(b'0'),
            b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
            b'A'..=b'F' => byte.wrapping_sub(b'A').wrapping_add(10),
            _ => return None,
        };
        value = (value << 4) | u16::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// Oracle: the standard library's parser and `to_canonical`.
    fn oracle(text: &str) -> Option<IpKey> {
        Some(match text.parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(address) => IpKey::V4(address.into()),
            IpAddr::V6(address) => IpKey::V6(address.into()),
        })
    }

    #[test]
    fn agrees_with_std_on_tables() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "1.2.3.4",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "01.2.3.4",
            "1.2.3.04",
            "1..2.3",
            "1.2.3.",
            ".1.2.3",
            "1.2.3.4 ",
            " 1.2.3.4",
            "1.2.3.4/8",
            "0x1.2.3.4",
            "1.2.3.1000",
            "",
            "::",
            "::1",
            "1::",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::3:4:5:6:7:8",
            "1:2:3:4::5:6:7:8",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            ":1",
            "1:",
            ":",
            ":::",
            "1:::2",
            "1::2::3",
            "12345::",
            "g::",
            "::ffff:1.2.3.4",
            "::FFFF:102:304",
            "::1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1.2.3.4::",
            "::1.2.3.4:5",
            "64:ff9b::192.0.2.33",
            "fe80::1%eth0",
            "[::1]",
            "::1/64",
            "0:0:0:0:0:ffff:1.2.3.4",
            "00000::",
            "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
            "1:2:3:4:5::1.2.3.4",
            "1:2:3:4:5:6::1.2.3.4",
            "::01.2.3.4",
            "1:2:3:4:5:6:7:",
            "1:2:3:4:5:6:7:::",
            "::1:",
            "１.2.3.4",
        ] {
            assert_eq!(parse_addr(text), oracle(text), "{text:?}");
        }
    }

    #[test]
    fn blocks() {
        let inside = |cidr: &str, address: &str| Cidr::parse(cidr).unwrap().contains(parse_addr(address).unwrap());
        assert!(inside("10.1.2.3/8", "10.255.0.1"));
        assert!(!inside("10.0.0.0/8", "11.0.0.0"));
        assert!(inside("0.0.0.0/0", "255.255.255.255"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(!inside("::/0", "1.2.3.4"));
        assert!(!inside("::/0", "::ffff:1.2.3.4"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(inside("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!inside("2001:db8::/32", "2001:db9::"));
        assert!(inside("::1/128", "::1"));
        assert!(!inside("1.2.3.4/32", "1.2.3.5"));
        for (text, error) in [
            ("10.0.0.0", CidrError::NoPrefix),
            ("", CidrError::NoPrefix),
            ("10.0.0/8", CidrError::BadAddress),
            ("/8", CidrError::BadAddress),
            ("10.0.0.0/", CidrError::BadPrefix),
            ("10.0.0.0/08", CidrError::BadPrefix),
            ("10.0.0.0/00", CidrError::BadPrefix),
            ("10.0.0.0/33", CidrError::BadPrefix),
            ("10.0.0.0/+8", CidrError::BadPrefix),
            ("10.0.0.0/8/8", CidrError::BadPrefix),
            ("10.0.0.0/9999999999", CidrError::BadPrefix),
            ("::/129", CidrError::BadPrefix),
            ("::ffff:10.0.0.0/104", CidrError::Mapped),
            ("::ffff:0:0/96", CidrError::Mapped),
        ] {
            assert_eq!(Cidr::parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_std_does(text in "[0-9.]{0,16}|[0-9a-fA-F:.]{0,46}|([0-9a-f]{0,4}:){2,8}[0-9a-f]{0,4}|\\PC{0,16}") {
            prop_assert_eq!(parse_addr(&text), oracle(&text), "{}", text);
        }

        #[test]
        fn every_spelling_of_std_is_read(v4: u32, groups in prop::array::uniform8(prop_oneof![Just(0u16), any::<u16>()])) {
            let v4 = Ipv4Addr::from(v4).to_string();
            prop_assert_eq!(parse_addr(&v4), oracle(&v4));
            let v6 = Ipv6Addr::from(groups).to_string();
            prop_assert_eq!(parse_addr(&v6), oracle(&v6));
        }

        /// Oracle: comparing bit by bit.
        #[test]
        fn blocks_compare_their_prefix(a: u128, b: u128, shared in 0u32..=128, prefix in 0u32..=128) {
            let bits = |value: u128| (0..128).rev().map(move |i| value >> i & 1 == 1);
            let keep = if shared == 0 { 0 } else { u128::MAX << (128 - shared) };
            let b = (a & keep) | (b & !keep);
            let (a6, b6) = (Ipv6Addr::from(a), Ipv6Addr::from(b));
            prop_assume!(a6.to_ipv4_mapped().is_none() && b6.to_ipv4_mapped().is_none());
            let expected = bits(a).zip(bits(b)).take(prefix as usize).all(|(x, y)| x == y);
            let cidr = Cidr::parse(&format!("{a6}/{prefix}")).unwrap();
            prop_assert_eq!(cidr.contains(parse_addr(&b6.to_string()).unwrap()), expected);
        }
    }
}
