//! What a target takes along when it fetches an address that a caller gave it.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::{Map, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use crate::{
    arguments::{self, is_kind},
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::Tool,
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "carried-credential",
    Layer::Credentials,
    Severity::High,
    "Lets the target fetch an address of the run's own, and looks at what it carries there.",
    include_str!("carried.md"),
    &[
        Technique::new(
            "CR-08",
            "a credential carried to an address that a caller gave",
            Severity::High,
            |site| Box::pin(fetched(site, Carries::Credential)),
        ),
        Technique::new("CR-10", "the caller's own token carried there", Severity::High, |site| {
            Box::pin(fetched(site, Carries::Token))
        }),
    ],
);

/// What is looked for in what the target sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Carries {
    /// Something with which the target authenticates.
    Credential,
    /// The token of the caller.
    Token,
}

/// How long one fetch is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most bytes of one request that are read.
const MOST: usize = 16 << 10;

/// The arguments that take an address, of tools that may be called.
fn places<'a>(site: &Site, party: &'a Party) -> Vec<(&'a Tool, &'a str)> {
    const NAMES: [&str; 12] = [
        "url",
        "uri",
        "href",
        "link",
        "webhook",
        "webhook_url",
        "callback",
        "callback_url",
        "endpoint",
        "address",
        "site",
        "image_url",
    ];
    let mut all = Vec::new();
    for tool in party.surface.tools.iter().filter(|tool| attempt::may_call(site, tool)) {
        for (name, place, _) in arguments::properties(&tool.schema) {
            let format = place.get("format").and_then(serde_json::Value::as_str);
            let named =
                NAMES.contains(&name.to_ascii_lowercase().as_str()) || matches!(format, Some("uri" | "url"));
            if named && is_kind(place, "string") {
                all.push((tool, name));
            }
        }
    }
    all.truncate(4);
    all
}

async fn fetched(site: &Site, carries: Carries) -> Tally {
    let local = site.target.url.host_str().is_some_and(|host| {
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    if !local {
        return Tally::not_run("the target is on another machine, which cannot reach the run's own listener");
    }
    let mut tally = Tally::default();
    for party in &site.parties {
        for (tool, name) in places(site, party) {
            // Straight, and by a redirect from one address to another: some clients carry on what was for the first.
            for hops in [0, 1] {
                let Some((exchange, requests)) = one(party, tool, name, hops).await else {
                    tally.doubt("no port could be listened on");
                    continue;
                };
                if requests.is_empty() {
                    tally.absent(format!("{} fetches no address of this machine", tool.name));
                    continue;
                }
                tally.control(true, "");
                judge(&mut tally, site, (party, tool), &exchange, (&requests, carries));
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent("no tool that may be called takes an address");
    tally
}

fn judge(
    tally: &mut Tally,
    site: &Site,
    (party, tool): (&Party, &Tool),
    exchange: &Exchange,
    (requests, carries): (&[String], Carries),
) {
    let token = party.caller.token().unwrap_or_default();
    let has_token = |request: &&String| token.len() >= 8 && request.contains(token);
    let found = match carries {
        Carries::Token => requests.iter().find(has_token).map(|_| "the caller's own token".to_owned()),
        Carries::Credential => requests
            .iter()
            .find(|request| !has_token(request) && credential(request).is_some())
            .and_then(|r| credential(r)),
    };
    match found {
        Some(what) => {
            let why =
                format!("{} gave {} an address, and the target sent {what} there", party.tenant, tool.name);
            tally.leak(vec![attempt::shown(site, exchange, why)]);
        }
        None if exchange.replied() => tally.held(),
        None => tally.doubt(failed(exchange)),
    }
}

/// The header in which a request carries a credential; its value is told to nobody.
fn credential(request: &str) -> Option<String> {
    const HEADERS: [&str; 8] = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "private-token",
        "x-amz-security-token",
    ];
    request.lines().skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim().to_ascii_lowercase();
        (HEADERS.contains(&name.as_str()) && value.trim().len() >= 4).then(|| format!("a value of {name}"))
    })
}

/// One call with an address of the run's own, and what was sent to it.
async fn one(party: &Party, tool: &Tool, name: &str, hops: usize) -> Option<(Exchange, Vec<String>)> {
    let first = TcpListener::bind("127.0.0.1:0").await.ok()?;
    let second = TcpListener::bind("127.0.0.1:0").await.ok()?;
    let port = |listener: &TcpListener| listener.local_addr().ok().map(|address| address.port());
    let (from, to) = (port(&first)?, port(&second)?);
    let given = Map::from_iter([(name.to_owned(), json!(format!("http://127.0.0.1:{from}/probe")))]);
    let arguments = arguments::object(&tool.schema, &given, 3);
    let call = party.caller.request("tools/call", json!({"name": tool.name, "arguments": arguments}));
    let calls = party.caller.send(call.once().patience(PATIENCE));
    let hears = async {
        let redirect = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{to}/probe\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let page = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nconnection: close\r\n\r\nprobe";
        let mut heard = Vec::new();
        let answer = if hops == 0 { page } else { &redirect };
        heard.extend(hear(&first, answer).await);
        if hops > 0 && !heard.is_empty() {
            // Only what is carried to the second address counts.
            heard.clear();
            heard.extend(hear(&second, page).await);
        }
        heard
    };
    tokio::pin!(hears);
    tokio::pin!(calls);
    // A target that fetches nothing answers at once; then nothing more is waited for.
    tokio::select! {
        heard = &mut hears => Some((calls.await, heard)),
        exchange = &mut calls => {
            let late = timeout(Duration::from_millis(200), &mut hears).await.unwrap_or_default();
            Some((exchange, late))
        }
    }
}

/// One request to a listener, answered.
async fn hear(listener: &TcpListener, answer: &str) -> Option<String> {
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.ok()?.ok()?;
    let mut head = Vec::new();
    let mut part = [0_u8; 2_048];
    while head.len() < MOST && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = timeout(PATIENCE, stream.read(&mut part)).await.ok()?.ok()?;
        if read == 0 {
            break;
        }
        head.extend_from_slice(part.get(..read)?);
    }
    // Whoever has gone away meanwhile needs no answer.
    let _gone = timeout(PATIENCE, stream.write_all(answer.as_bytes())).await;
    let _gone = timeout(PATIENCE, stream.shutdown()).await;
    Some(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_carries_a_credential_is_named_and_not_told() {
        let found = credential("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n").unwrap();
        assert_eq!(found, "a value of authorization");
        assert_eq!(credential("GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n"), None);
    }
}
