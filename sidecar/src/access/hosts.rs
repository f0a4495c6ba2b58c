//! By which names the management port is known. A page of another site can make its own name lead
//! to this port and then read what its visitor may (DNS rebinding); its requests still carry that
//! name, so only the names that are known are answered.

use std::net::IpAddr;

use hyper::http::uri::Authority;

/// The names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    listen: IpAddr,
    allowed: Vec<String>,
}

impl Hosts {
    /// Those of a port that listens at this address and is also reached by `allowed` names.
    pub fn new(listen: IpAddr, allowed: &[String]) -> Self {
        Self {
            listen: listen.to_canonical(),
            allowed: allowed.to_vec(),
        }
    }

    /// Whether a request for this authority is for us. The port does not matter: another may lead
    /// here, and a rebound name would have the right one.
    pub fn know(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            let address = address.to_canonical();
            // No name leads to another address than this, so nothing can be rebound; of a port
            // that listens everywhere it is one of ours.
            return address.is_loopback() || self.listen.is_unspecified() || self.listen == address;
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        // Of localhost every name below it is this machine, too (RFC 6761 section 6.3).
        name == "localhost" || name.ends_with(".localhost") || self.allowed.contains(&name)
    }
}

/// A name as `allowed_hosts` has it: in lower case, without a port.
pub(crate) fn name(text: &str) -> Option<String> {
    let within = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let name = text.strip_suffix('.').unwrap_or(text);
    (!name.is_empty() && name.bytes().all(within)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_known_as_localhost_by_its_address_and_as_told() {
        let check = |listen: &str, host: &str, expect: bool| {
            let allowed = ["cache.example".to_owned()];
            let hosts = Hosts::new(listen.parse().unwrap(), &allowed);
            assert_eq!(
                hosts.know(&host.parse().unwrap()),
                expect,
                "{listen}: {host}"
            );
        };
        for listen in ["127.0.0.1", "192.0.2.7", "0.0.0.0", "::"] {
            check(listen, "localhost", true);
            check(listen, "LOCALHOST.:1", true);
            check(listen, "a.localhost:7070", true);
            check(listen, "127.0.0.1:7070", true);
            check(listen, "127.1.2.3", true);
            check(listen, "[::1]:7070", true);
            check(listen, "[::ffff:127.0.0.1]", true);
            check(listen, "cache.example", true);
            check(listen, "Cache.Example:443", true);
            check(listen, "evil.example:7070", false);
            check(listen, "localhost.evil.example", false);
            check(listen, "notlocalhost", false);
            check(listen, "cache.example.evil.example", false);
            check(listen, "sub.cache.example", false);
            check(listen, "localhost@evil.example", false);
            check(listen, "evil.example@localhost", false);
            // What looks like an address and is a name: `inet_aton` would read it as 127.0.0.1.
            check(listen, "2130706433", false);
        }
        check("192.0.2.7", "192.0.2.7:7070", true);
        check("192.0.2.7", "192.0.2.8", false);
        check("127.0.0.1", "192.0.2.7", false);
        check("0.0.0.0", "192.0.2.7", true);
        check("::", "[2001:db8::1]:7070", true);
        check("2001:db8::1", "[2001:DB8:0::1]", true);
        check("2001:db8::1", "[2001:db8::2]", false);
    }

    #[test]
    fn a_name_has_no_port_and_no_scheme() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(name(text).as_deref(), expect, "{text}");
        };
        check("Cache.Example", Some("cache.example"));
        check("cache.example.", Some("cache.example"));
        check("side_car", Some("side_car"));
        check("cache.example:80", None);
        check("http://cache.example", None);
        check("*", None);
        check("", None);
        check(".", None);
    }
}
