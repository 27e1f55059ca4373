//! Which hosts and origins requests may name: the guard against DNS rebinding and foreign web pages.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderValue, Uri,
    header::{HOST, ORIGIN},
};
use partywall_model::Layer;
use url::Url;

use crate::{
    config::Config,
    guards::disclosure::{Denial, Refused},
};

/// The names by which this server may be called, and the web origins that may call it.
pub(crate) struct Doors {
    hosts: Vec<String>,
    origins: Vec<String>,
    loopback: bool,
}

impl Doors {
    pub(crate) fn new(config: &Config) -> Self {
        let mut hosts: Vec<String> = config.server.allowed_hosts.iter().map(|host| host_of(host)).collect();
        let mut origins: Vec<String> =
            config.server.allowed_origins.iter().map(|origin| origin.to_ascii_lowercase()).collect();
        if let Ok(url) = Url::parse(&config.resource()) {
            hosts.extend(url.host_str().map(str::to_ascii_lowercase));
            origins.push(url.origin().ascii_serialization());
        }
        let listen = config.server.listen;
        if !listen.ip().is_unspecified() {
            hosts.push(bracketed(listen.ip()));
        }
        Self { hosts, origins, loopback: listen.ip().is_loopback() }
    }

    /// Refuses a request that names a host or an origin that is not ours; the origin of the page that it comes from, if
    /// it comes from one.
    pub(crate) fn check<'h>(
        &self,
        uri: &Uri,
        headers: &'h HeaderMap,
    ) -> Result<Option<&'h HeaderValue>, Denial> {
        self.check_host(uri, headers)?;
        #[cfg(test)]
        if crate::removed::removed("doors") {
            return Ok(None);
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if origin.to_str().is_ok_and(|name| self.knows_origin(name)) => {
                Ok(Some(origin))
            }
            _ => Err(refused("origin")),
        }
    }

    /// Refuses a request to the operator's listener that a web page may have sent: one with an origin, and one by a name
    /// that whoever owns it could have pointed here. A number or `localhost` cannot be pointed elsewhere, and programs
    /// that ask for health need not name a host at all.
    pub(crate) fn check_operator(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Denial> {
        let is_number = |host: &str| {
            let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
            bare.parse::<IpAddr>().is_ok()
        };
        if headers.contains_key(ORIGIN) {
            return Err(refused("origin"));
        }
        if uri.authority().is_none() && !headers.contains_key(HOST) {
            return Ok(());
        }
        let named = named(uri, headers)?;
        match named.parse::<http::uri::Authority>() {
            Ok(authority)
                if !named.contains('@')
                    && (is_number(authority.host())
                        || authority.host().eq_ignore_ascii_case("localhost")) =>
            {
                Ok(())
            }
            _ if self.knows_host(named) => Ok(()),
            _ => Err(refused("host")),
        }
    }

    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Denial> {
        if self.knows_host(named(uri, headers)?) { Ok(()) } else { Err(refused("host")) }
    }

    fn knows_host(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<http::uri::Authority>() else { return false };
        // Host names are compared without regard to case (RFC 9110 section 4.2.3).
        let host = authority.host();
        !authority.as_str().contains('@')
            && (self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
                || (self.loopback && is_loopback_name(host)))
    }

    fn knows_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        if self.origins.contains(&origin) {
            return true;
        }
        let Ok(url) = Url::parse(&origin) else {
            return false;
        };
        self.loopback
            && matches!(url.scheme(), "http" | "https")
            && url.origin().ascii_serialization() == origin
            && url.host_str().is_some_and(is_loopback_name)
    }
}

/// The host that a request names, with its port.
fn named<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Result<&'r str, Denial> {
    let mut values = headers.get_all(HOST).iter();
    let header = values.next();
    if values.next().is_some() {
        return Err(refused("several-hosts"));
    }
    let header = match header {
        None => None,
        Some(value) => Some(value.to_str().map_err(|_bytes| refused("host"))?),
    };
    // HTTP/2 and absolute-form targets name the host in the target; if both name one they must agree.
    match (uri.authority(), header) {
        (Some(target), Some(header)) if !target.as_str().eq_ignore_ascii_case(header) => {
            Err(refused("host-disagrees"))
        }
        (Some(target), _) => Ok(target.as_str()),
        (None, Some(header)) => Ok(header),
        (None, None) => Err(refused("no-host")),
    }
}

fn refused(reason: &'static str) -> Denial {
    Denial::new(Layer::Routing, reason, Refused::Door)
}

/// The host of `name`, `name:port` or a bare IPv6 address, as it stands in a Host header without the port.
fn host_of(entry: &str) -> String {
    let text = match entry.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => {
            entry.parse::<http::uri::Authority>().map_or_else(|_| entry.to_owned(), |a| a.host().to_owned())
        }
    };
    text.to_ascii_lowercase()
}

fn bracketed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn is_loopback_name(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| name.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn doors(text: &str) -> Doors {
        Doors::new(&Config::parse(text, "test", Path::new(".")).expect("a configuration"))
    }

    fn passes(doors: &Doors, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        doors.check(&Uri::from_static("/mcp"), &headers).is_ok()
    }

    const DEV: &str = "[identity]\ndevelopment = true\n";

    #[test]
    fn a_loopback_server_knows_loopback_names_only() {
        let doors = doors(DEV);
        for host in ["127.0.0.1:8787", "localhost:8787", "localhost", "LOCALHOST:1", "[::1]:8787"] {
            assert!(passes(&doors, host, None), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a@localhost", "127.0.0.2"]
        {
            assert!(!passes(&doors, host, None), "{host}");
        }
        for origin in ["http://localhost:3000", "http://127.0.0.1:8787"] {
            assert!(passes(&doors, "localhost", Some(origin)), "{origin}");
        }
        for origin in
            ["null", "http://evil.example", "http://localhost.evil.example", "file://", "http://localhost/x"]
        {
            assert!(!passes(&doors, "localhost", Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_public_server_knows_its_own_name_and_listed_origins() {
        let doors = doors(
            "[server]\nlisten = \"0.0.0.0:80\"\npublic_url = \"https://mcp.example.com/mcp\"\n\
             allowed_origins = [\"https://app.example.com\"]\nallowed_hosts = [\"inner.example.com:8080\"]\n\
             [[identity.issuer]]\nissuer = \"https://i.example.com\"\ntenant_claim = \"org_id\"\n",
        );
        assert!(passes(&doors, "mcp.example.com", Some("https://app.example.com")));
        assert!(passes(&doors, "mcp.example.com", Some("https://mcp.example.com")));
        assert!(passes(&doors, "inner.example.com:8080", None));
        assert!(!passes(&doors, "localhost", None));
        assert!(!passes(&doors, "mcp.example.com", Some("http://localhost:3000")));
        assert!(!passes(&doors, "mcp.example.com", Some("https://app.example.com.evil.example")));
    }

    /// The operator's listener has no tokens, so a page that got its own name pointed there would read it.
    #[test]
    fn the_operator_comes_by_a_number_or_a_name_that_is_known() {
        let public = "[server]\nlisten = \"0.0.0.0:80\"\npublic_url = \"https://mcp.example.com/mcp\"\n\
             allowed_hosts = [\"partywall.internal\"]\n\
             [[identity.issuer]]\nissuer = \"https://i.example.com\"\ntenant_claim = \"org_id\"\n";
        let passes = |text: &str, host: Option<&str>, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.extend(host.map(|host| (HOST, host.parse().unwrap())));
            headers.extend(origin.map(|origin| (ORIGIN, origin.parse().unwrap())));
            doors(text).check_operator(&Uri::from_static("/metrics"), &headers).is_ok()
        };
        for host in
            ["127.0.0.1:8788", "10.1.2.3:8788", "[::1]:8788", "[fd00::7]", "localhost", "LOCALHOST:8788"]
        {
            assert!(passes(DEV, Some(host), None) && passes(public, Some(host), None), "{host}");
        }
        assert!(passes(DEV, None, None), "a probe of HTTP/1.0");
        assert!(passes(public, Some("partywall.internal:8788"), None));
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "a@127.0.0.1", "", "1"]
        {
            assert!(!passes(DEV, Some(host), None) && !passes(public, Some(host), None), "{host}");
        }
        for origin in ["http://evil.example", "http://localhost:8788", "null"] {
            assert!(!passes(DEV, Some("127.0.0.1:8788"), Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_target_that_disagrees_with_the_host_header_is_refused() {
        let doors = doors(DEV);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "localhost:8787".parse().unwrap());
        assert!(doors.check(&Uri::from_static("http://localhost:8787/mcp"), &headers).is_ok());
        assert!(doors.check(&Uri::from_static("http://127.0.0.1:8787/mcp"), &headers).is_err());
        assert!(doors.check(&Uri::from_static("/mcp"), &HeaderMap::new()).is_err());
        headers.append(HOST, "localhost:8787".parse().unwrap());
        assert!(doors.check(&Uri::from_static("/mcp"), &headers).is_err());
    }
}
