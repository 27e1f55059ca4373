//! Every table except those of tools.

use std::{net::IpAddr, time::Duration};

use partywall_model::TenantId;
use partywall_postgres::url::DatabaseUrl;
use url::{Host, Url};

use super::Found;
use crate::{
    config::{ByteSize, Capacity, Config, Driver, Issuer, Reference, State},
    tools::http::HttpShared,
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The algorithms that a key set can be used with; a shared secret cannot be one that only the issuer has.
const ALGORITHMS: [&str; 9] =
    ["ES256", "ES384", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];

pub(super) fn check_server(config: &Config, found: &mut Found) {
    let server = &config.server;
    match &server.public_url {
        Some(url) => {
            if let Some(problem) = public_url_problem(url) {
                found.say("server.public_url", problem);
            }
        }
        None => found.say_unless(
            server.listen.ip().is_loopback(),
            "server.public_url",
            "is missing; a server that listens beyond loopback needs the URL that clients use, such as \
             `https://mcp.example.com/mcp`",
        ),
    }
    let same = server.admin_listen == Some(server.listen) && server.listen.port() != 0;
    found.say_unless(
        !same,
        "server.admin_listen",
        "must differ from `server.listen`; health and metrics are never on the public listener",
    );
    for origin in &server.allowed_origins {
        let fits = Url::parse(origin).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == *origin
        });
        found.say_unless(
            fits,
            "server.allowed_origins",
            format!(
                "`{origin}` is no origin; write scheme, host and port only, such as `https://app.example.com`"
            ),
        );
    }
    for host in &server.allowed_hosts {
        found.say_unless(
            is_host(host),
            "server.allowed_hosts",
            format!("`{host}` is no host; write `name` or `name:port`"),
        );
    }
    found.number("server.max_body_bytes", as_u64(server.max_body_bytes), 1, 64 * MIB);
    found.number("server.max_connections", as_u64(server.max_connections), 1, 1_000_000);
    found.number("server.concurrent_requests", server.concurrent_requests, 1, 1_000_000);
    found.say_unless(
        server.refusal_delay <= Duration::from_secs(5),
        "server.refusal_delay",
        "must be at most `\"5s\"`",
    );
    found.duration("server.read_timeout", server.read_timeout);
    found.duration("server.call_timeout", server.call_timeout);
    found.duration("server.drain_timeout", server.drain_timeout);
    // Of smaller files there would be very many.
    found.number("audit.max_file_bytes", config.audit.max_file_bytes.0, 16 << 10, 64 * GIB);
    let name = &server.name;
    let fits = (1..=64).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    found.say_unless(fits, "server.name", "must have 1 to 64 printable characters");
    found.say_unless(!server.data_dir.as_os_str().is_empty(), "server.data_dir", "must name a folder");
    check_state(config, found);
}

fn check_state(config: &Config, found: &mut Found) {
    let server = &config.server;
    let central = server.state == State::Postgres;
    if central && server.state_url.is_none() {
        found.say(
            "server.state_url",
            "is missing; with `server.state = \"postgres\"` it names the database, such as `env:STATE_URL`",
        );
    }
    found.say_unless(
        central || server.state_url.is_none(),
        "server.state_url",
        "is there, but tenants are kept in files; set `server.state = \"postgres\"` or remove it",
    );
    if let Some(url) = server.state_url.as_ref().and_then(Reference::literal) {
        match DatabaseUrl::parse(url, &config.base_dir) {
            Ok(url) => found.say_unless(
                !url.has_password(),
                "server.state_url",
                "has a password, and this file is no place for it; write `env:NAME` or `file:PATH`",
            ),
            Err(error) => found.say("server.state_url", error),
        }
    }
    found.say_unless(
        server.master_key.as_ref().and_then(Reference::literal).is_none(),
        "server.master_key",
        "must be `env:NAME` or `file:PATH`; a key does not belong into this file",
    );
    for (name, source) in &config.data {
        found.say_unless(
            !central || source.driver != Driver::Sqlite,
            &format!("data.{name}.driver"),
            "is `sqlite`, whose files the other servers do not have; with `server.state = \"postgres\"` use `postgres`",
        );
    }
}

fn public_url_problem(text: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(text) else {
        return Some("must be an absolute URL, such as `https://mcp.example.com/mcp`");
    };
    let loopback = is_loopback(&url);
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Some("must be `https`; plain `http` is for loopback"),
        _ => return Some("must be an `https` URL"),
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("must have no query and no fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must have no user name");
    }
    None
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// `name`, `name:port`, or an address, with or without a port.
fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, "1"),
    };
    !host.is_empty() && Host::parse(host).is_ok() && port.parse::<u16>().is_ok()
}

pub(super) fn check_identity(config: &Config, found: &mut Found) {
    let identity = &config.identity;
    found.say_unless(
        !identity.development || config.server.listen.ip().is_loopback(),
        "identity.development",
        "the development issuer is for servers that listen on loopback only; set it to false",
    );
    if let Some(leeway) = identity.leeway {
        found.say_unless(leeway <= Duration::from_secs(60), "identity.leeway", "must be at most `\"60s\"`");
    }
    for (i, issuer) in identity.issuers.iter().enumerate() {
        let key = |key: &str| format!("identity.issuer[{i}].{key}");
        let earlier = identity.issuers.iter().take(i);
        found.say_unless(
            earlier.into_iter().all(|other| other.issuer != issuer.issuer),
            &key("issuer"),
            format!("`{}` is given twice; write one table an issuer", issuer.issuer),
        );
        check_issuer(issuer, &key, found);
    }
}

fn check_issuer(issuer: &Issuer, key: &dyn Fn(&str) -> String, found: &mut Found) {
    found.say_unless(!issuer.issuer.trim().is_empty(), &key("issuer"), "must not be empty");
    if let Some(jwks) = issuer.jwks.as_deref().filter(|jwks| jwks.contains("://")) {
        let fits = Url::parse(jwks)
            .is_ok_and(|url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url)));
        found.say_unless(fits, &key("jwks"), "must be an `https` URL (`http` on loopback only) or a file");
    }
    found.say_unless(!issuer.algorithms.is_empty(), &key("algorithms"), "must name at least one algorithm");
    for algorithm in &issuer.algorithms {
        found.say_unless(
            ALGORITHMS.contains(&algorithm.as_str()),
            &key("algorithms"),
            format!("`{algorithm}` is not accepted; write any of {}", ALGORITHMS.join(", ")),
        );
    }
    match (&issuer.tenant_claim, &issuer.tenant) {
        (Some(_), Some(_)) => found.say(&key("tenant"), "excludes `tenant_claim`; keep one of them"),
        (None, None) => found.say(
            &key("tenant_claim"),
            "is missing; name the claim that holds the tenant, or write `tenant` for an issuer of one tenant",
        ),
        (Some(claim), None) => {
            found.say_unless(!claim.trim().is_empty(), &key("tenant_claim"), "must not be empty");
        }
        (None, Some(tenant)) => {
            check_tenant(tenant, &key("tenant"), found);
            found.say_unless(
                issuer.tenant_map.is_none(),
                &key("tenant_map"),
                "maps values of `tenant_claim`; remove it",
            );
        }
    }
    for (value, tenant) in issuer.tenant_map.iter().flatten() {
        check_tenant(tenant, &key(&format!("tenant_map.{value}")), found);
    }
}

fn check_tenant(tenant: &str, key: &str, found: &mut Found) {
    if let Err(error) = TenantId::parse(tenant) {
        found.say(key, format!("`{tenant}` is no tenant: {error}"));
    }
}

pub(super) fn check_capacity(config: &Config, found: &mut Found) {
    let capacity = &config.capacity;
    found.number("capacity.resident_tenants", as_u64(capacity.resident_tenants), 1, 10_000_000);
    found.number("capacity.upstream_processes", as_u64(capacity.upstream_processes), 1, 100_000);
    found.duration("capacity.idle", capacity.idle);
    check_limits("capacity", capacity, found);
    for (tenant, own) in &capacity.tenant {
        let key = format!("capacity.tenant.{tenant}");
        check_tenant(tenant, &key, found);
        // What the tenant does not override was checked above, and is within bounds here.
        let base = Capacity::default();
        let merged = Capacity {
            requests_per_second: own.requests_per_second.unwrap_or(base.requests_per_second),
            burst: own.burst.unwrap_or(base.burst),
            concurrent_requests: own.concurrent_requests.unwrap_or(base.concurrent_requests),
            queued_requests: own.queued_requests.unwrap_or(base.queued_requests),
            queue_timeout: own.queue_timeout.unwrap_or(base.queue_timeout),
            connections: own.connections,
            reply_bytes: own.reply_bytes.unwrap_or(base.reply_bytes),
            cache_bytes: own.cache_bytes.unwrap_or(base.cache_bytes),
            ..base
        };
        check_limits(&key, &merged, found);
        if let Some(timeout) = own.call_timeout {
            found.duration(&format!("{key}.call_timeout"), timeout);
        }
    }
}

fn check_limits(table: &str, limits: &Capacity, found: &mut Found) {
    let key = |key: &str| format!("{table}.{key}");
    found.number(&key("requests_per_second"), limits.requests_per_second, 1, 1_000_000);
    found.number(&key("burst"), limits.burst, 1, 1_000_000);
    found.number(&key("concurrent_requests"), limits.concurrent_requests, 1, 100_000);
    found.number(&key("queued_requests"), limits.queued_requests, 0, 10_000);
    found.say_unless(
        limits.queue_timeout <= Duration::from_secs(60),
        &key("queue_timeout"),
        "must be at most `\"60s\"`; a caller that waits longer has given up",
    );
    if let Some(connections) = limits.connections {
        found.number(&key("connections"), as_u64(connections), 1, 1_000_000);
    }
    check_bytes(&key("reply_bytes"), limits.reply_bytes, 1, 64 * MIB, found);
    check_bytes(&key("cache_bytes"), limits.cache_bytes, 0, GIB, found);
}

pub(super) fn check_http(config: &Config, found: &mut Found) {
    if let Err(error) = HttpShared::new(&config.http) {
        found.problems.push(super::Problem { at: None, text: error.to_string() });
    }
    if let Some(size) = config.http.max_reply_bytes {
        check_bytes("http.max_reply_bytes", size, 1, 64 * MIB, found);
    }
    if let Some(timeout) = config.http.connect_timeout {
        found.duration("http.connect_timeout", timeout);
    }
}

fn check_bytes(key: &str, size: ByteSize, least: u64, most: u64, found: &mut Found) {
    found.number(key, size.0, least, most);
}

fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
