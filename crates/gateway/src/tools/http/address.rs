//! Which addresses HTTP tools may reach: public ones, and the hosts that the operator listed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::HttpToolError;

/// `http.allow_private`, parsed: hosts that may be, or resolve to, addresses that are not public.
#[derive(Debug, Default)]
pub(super) struct AllowList(Vec<(String, Option<u16>)>);

impl AllowList {
    pub(super) fn parse(entries: &[String]) -> Result<Self, HttpToolError> {
        entries
            .iter()
            .map(|entry| {
                parse_entry(entry).ok_or_else(|| {
                    HttpToolError::config(
                        "http.allow_private",
                        format!(
                            "`{entry}` is no host; write `name`, `name:port`, `10.0.0.5:8080` or `[::1]:8080`"
                        ),
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the host is listed for this port.
    pub(super) fn lists(&self, host: &str, port: u16) -> bool {
        self.0.iter().any(|(listed, at)| listed == host && at.is_none_or(|at| at == port))
    }

    /// Whether the host is listed, for whatever port.
    pub(super) fn lists_host(&self, host: &str) -> bool {
        self.0.iter().any(|(listed, _)| listed == host)
    }

    /// Whether a request to this URL may be made, as far as can be told without resolving names.
    ///
    /// Names are judged again by the resolver, which sees no port. A name that is listed for some ports is therefore
    /// refused on all others here.
    pub(super) fn permits(&self, url: &Url) -> bool {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return false;
        };
        if self.lists(host, port) {
            return true;
        }
        match url.host() {
            Some(Host::Ipv4(ip)) => is_public(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => is_public(IpAddr::V6(ip)),
            Some(Host::Domain(name)) => !self.lists_host(name),
            None => false,
        }
    }
}

fn parse_entry(entry: &str) -> Option<(String, Option<u16>)> {
    // A bare IPv6 address has colons of its own.
    if let Ok(ip) = entry.parse::<Ipv6Addr>() {
        return Some((Host::<String>::Ipv6(ip).to_string(), None));
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, Some(port.parse().ok().filter(|port| *port != 0)?))
        }
        _ => (entry, None),
    };
    let host = Host::parse(host).ok()?.to_string();
    (!host.is_empty()).then_some((host, port))
}

/// Whether an address is one that anybody on the internet could reach just as well.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let refused = match ip.octets() {
        // "This" network, private, loopback, link-local (with the usual metadata service).
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] => true,
        // Carrier-grade NAT; also one cloud's metadata service.
        [100, 64..=127, ..] => true,
        // Protocol assignments, documentation, 6to4 relays, benchmarking.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            true
        }
        // A cloud's host service behind a public-looking address.
        [168, 63, 129, 16] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    };
    !refused
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    let [a, b, c, d, e, f, g, h] = s;
    let embedded = |high: u16, low: u16| {
        let [x, y] = high.to_be_bytes();
        let [z, w] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(x, y, z, w))
    };
    match (a, b) {
        // IPv4-mapped.
        (0, 0) if (c, d, e, f) == (0, 0, 0, 0xffff) => embedded(g, h),
        // NAT64 with the well-known prefix.
        (0x64, 0xff9b) if (c, d, e, f) == (0, 0, 0, 0) => embedded(g, h),
        // 6to4.
        (0x2002, _) => embedded(b, c),
        // Protocol assignments, which Teredo is one of, and documentation.
        (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff) => false,
        // ISATAP: an IPv4 address in the lower half.
        (0x2000..=0x3fff, _) if matches!((e, f), (0 | 0x0200, 0x5efe)) => embedded(g, h),
        // Only this range is global unicast. It leaves out loopback, unspecified, compatible and translated forms,
        // local NAT64, unique-local, link-local, site-local and multicast.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for refused in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "10.1.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "192.88.99.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:0:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001:0:1::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "2606:4700::5efe:10.0.0.1",
            "2606:4700::200:5efe:10.0.0.1",
        ] {
            assert!(!is_public(refused.parse().expect("an address")), "{refused}");
        }
        for public in [
            "8.8.8.8",
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "168.63.129.17",
            "223.255.255.1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2606:4700::5efe:8.8.8.8",
        ] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn a_list_names_hosts_with_or_without_a_port() {
        let entries =
            ["LOCALHOST", "crm.internal:8443", "10.0.0.5", "[::1]:80", "fd00::1"].map(str::to_owned);
        let list = AllowList::parse(&entries).expect("a list");
        let permits = |url: &str| list.permits(&Url::parse(url).expect("a URL"));
        for yes in [
            "http://localhost:1/",
            "https://crm.internal:8443/",
            "http://10.0.0.5/",
            "http://[::1]/",
            "https://[fd00:0::1]:9/",
            "https://example.com/",
            "https://8.8.8.8/",
            "http://0xa.0.0.5/",
        ] {
            assert!(permits(yes), "{yes}");
        }
        for no in [
            "https://crm.internal/",
            "http://[::1]:81/",
            "http://10.0.0.6/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://0177.0.0.1/",
            "http://127.1/",
        ] {
            assert!(!permits(no), "{no}");
        }
        for bad in ["", "a b", "http://x", "x/y", "u@x", "x:", "x:0", "x:99999", "*.internal/", "[::1"] {
            assert!(AllowList::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
