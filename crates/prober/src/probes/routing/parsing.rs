//! Requests that two parts of a server may read differently: headers against body, twins of paths, odd JSON.

use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    facts::Facts,
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Exchange, LEGACY, Request},
};

pub(super) static PROBE: Probe = Probe::new(
    "parsing",
    Layer::Routing,
    Severity::High,
    "Sends requests that two parts of a server may read differently.",
    include_str!("parsing.md"),
    &[
        Technique::new("XP-01", "headers that contradict the body", Severity::High, |site| {
            Box::pin(mirrors(site))
        }),
        Technique::new("XP-03", "encoded headers that contradict the body", Severity::High, |site| {
            Box::pin(encoded(site))
        }),
        Technique::new("XP-04", "JSON that parsers read differently", Severity::High, |site| {
            Box::pin(odd_json(site))
        }),
        Technique::new("XP-06", "other media types, without a token", Severity::Medium, |site| {
            Box::pin(media_types(site))
        }),
        Technique::new("XP-07", "twins of the path and the verb, without a token", Severity::High, |site| {
            Box::pin(twins(site))
        }),
        Technique::new("XP-10", "both generations on one connection", Severity::Medium, |site| {
            Box::pin(generations(site))
        }),
    ],
);

/// How long an answer to an odd message is waited for on a stream.
const UNANSWERED: std::time::Duration = std::time::Duration::from_secs(1);
pub(super) const NOT_MODERN: &str = "the target does not speak 2026-07-28, whose headers repeat the body";

/// Sends requests that must be refused after one that must be served.
pub(super) async fn must_refuse(
    tally: &mut Tally,
    site: &Site,
    party: &Party,
    caller: &Caller,
    plain: Request,
    wrong: Vec<(String, Request)>,
) {
    let plain = caller.send(plain).await;
    // What answers anything with nothing has served nobody.
    let said = |exchange: &Exchange| exchange.success().map(|result| Facts::of(result).is_empty());
    let served = said(&plain);
    tally.control(
        served == Some(false),
        &format!("the request without a contradiction is not served: {}", failed(&plain)),
    );
    if served != Some(false) {
        return;
    }
    for (how, request) in wrong {
        let exchange = caller.send(request).await;
        if let Some(evidence) = site.foreign(&party.tenant, &exchange) {
            tally.leak(vec![evidence]);
        } else if said(&exchange) == Some(true) {
            tally.doubt(format!("a request with {how} was answered with nothing"));
        } else if exchange.success().is_some() {
            let why = format!("a request with {how} was served: who decides by the header is deceived");
            tally.leak(vec![attempt::shown(site, &exchange, why)]);
        } else if exchange.replied() {
            tally.held();
        } else {
            tally.doubt(failed(&exchange));
        }
        if tally.has_leaked() {
            return;
        }
    }
}

async fn mirrors(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for party in &site.parties {
        let Some(caller) = &party.modern else {
            tally.absent(NOT_MODERN);
            continue;
        };
        let Some((reading, _)) = site.readings_of(&party.tenant).next() else {
            tally.absent("nothing can be read");
            continue;
        };
        let make = || reading.what.request(caller);
        let name = reading.what.name();
        let mut wrong = vec![
            ("another Mcp-Method".to_owned(), make().set("mcp-method", "tools/list")),
            ("no Mcp-Method".to_owned(), make().without("mcp-method")),
            ("two Mcp-Method".to_owned(), make().header("mcp-method", "tools/list")),
            ("an unknown MCP-Protocol-Version".to_owned(), make().set("mcp-protocol-version", "2099-01-01")),
        ];
        if printable(name) {
            wrong.extend([
                ("another Mcp-Name".to_owned(), make().set("mcp-name", "another")),
                ("no Mcp-Name".to_owned(), make().without("mcp-name")),
                ("two Mcp-Name".to_owned(), make().header("mcp-name", "another")),
            ]);
        }
        let older = make().set("mcp-protocol-version", LEGACY);
        if party.legacy.is_none() {
            wrong.push(("another MCP-Protocol-Version".to_owned(), older));
        } else if !tally.has_leaked() {
            by_header(&mut tally, site, party, caller, older).await;
        }
        must_refuse(&mut tally, site, party, caller, make(), wrong).await;
    }
    tally
}

/// A header that names a revision which the target speaks too: to serve the request by that revision is no contradiction, to
/// answer in the form of the body's is one.
async fn by_header(tally: &mut Tally, site: &Site, party: &Party, caller: &Caller, older: Request) {
    let exchange = caller.send(older).await;
    let newer = exchange.success().is_some_and(|result| result.get("resultType").is_some());
    if let Some(evidence) = site.foreign(&party.tenant, &exchange) {
        tally.leak(vec![evidence]);
    } else if newer {
        let why = format!(
            "a request whose header names {LEGACY} was served by the revision in its body: who decides by the header is deceived"
        );
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else if exchange.replied() {
        tally.held();
    } else {
        tally.doubt(failed(&exchange));
    }
}

fn printable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_graphic())
}

async fn encoded(site: &Site) -> Tally {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let mut tally = Tally::default();
    for party in &site.parties {
        let Some(caller) = &party.modern else {
            tally.absent(NOT_MODERN);
            continue;
        };
        let found = site.readings_of(&party.tenant).find(|(reading, _)| printable(reading.what.name()));
        let Some((reading, _)) = found else {
            tally.absent("nothing can be read by a name that stands in a header");
            continue;
        };
        let make = || reading.what.request(caller);
        let name = reading.what.name();
        let (right, other) = (STANDARD.encode(name), STANDARD.encode("another"));
        let nested = STANDARD.encode(format!("=?base64?{right}?="));
        let wrong = [
            ("another name, encoded", format!("=?base64?{other}?=")),
            ("a name that is encoded twice", format!("=?base64?{nested}?=")),
            ("letters that are no Base64", "=?base64?*?=".to_owned()),
            ("bytes that are no text", format!("=?base64?{}?=", STANDARD.encode([0xff_u8, 0xfe]))),
            ("two encoded names", format!("=?base64?{right}?==?base64?{other}?=")),
        ];
        let wrong =
            wrong.into_iter().map(|(how, value)| (how.to_owned(), make().set("mcp-name", &value))).collect();
        must_refuse(&mut tally, site, party, caller, make(), wrong).await;
    }
    tally
}

async fn odd_json(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for caller in attacker.callers() {
            for reading in readings.iter().take(2) {
                attempt::control(&mut tally, site, attacker, reading).await;
                let plain = reading.what.request(caller);
                for body in odd(&plain.body, &victim.tenant) {
                    let mut request = plain.clone().body(body);
                    if caller.streams() {
                        // There an answer under another id, or none, is the usual answer to what is odd.
                        request = request.patience(UNANSWERED);
                    }
                    let exchange = caller.send(request).await;
                    judge_odd(&mut tally, site, attacker, reading, &exchange);
                    if tally.has_leaked() {
                        return tally;
                    }
                }
                attempt::control(&mut tally, site, victim, reading).await;
            }
        }
    }
    tally
}

/// What is read oddly may be served or refused, but as the sender.
fn judge_odd(tally: &mut Tally, site: &Site, attacker: &Party, reading: &Reading, exchange: &Exchange) {
    match judge(site, &attacker.tenant, reading, exchange) {
        Judged::Foreign(evidence) => tally.leak(vec![evidence]),
        // An odd argument may change what is asked for.
        Judged::Own | Judged::Changed(_) => tally.held(),
        Judged::Failed(_) if exchange.replied() => tally.held(),
        Judged::Failed(why) => tally.doubt(why),
    }
}

/// The request's body in forms that parsers read differently, with the other tenant's name where there is a choice.
fn odd(plain: &[u8], other: &str) -> Vec<Vec<u8>> {
    let plain = String::from_utf8_lossy(plain).into_owned();
    let Some(open) = plain.strip_suffix('}') else { return Vec::new() };
    let other = Value::String(other.to_owned());
    let tenants = ["tenant", "tenant_id", "org_id"];
    let mut bodies = vec![
        format!("\u{feff}{plain}").into_bytes(),
        format!("/* {other} */{plain}").into_bytes(),
        format!("{plain}{plain}").into_bytes(),
        format!("{plain},").into_bytes(),
        format!("{open},\"Method\":\"tools/list\"}}").into_bytes(),
        format!("{open},\"method\":\"tools/list\"}}").into_bytes(),
        format!("{open},\"params\":{{}}}}").into_bytes(),
        format!("{open},\"x\":NaN}}").into_bytes(),
        format!("{open},\"x\":\"\\ud800\"}}").into_bytes(),
        format!("{open},\"x\":1e999}}").into_bytes(),
        format!("{open},\"id\":\"{}\"}}", "9".repeat(40)).into_bytes(),
    ];
    bodies.extend(tenants.iter().map(|name| format!("{open},\"{name}\":{other}}}").into_bytes()));
    bodies.extend(tenants.iter().map(|name| {
        plain.replacen("\"params\":{", &format!("\"params\":{{\"{name}\":{other},"), 1).into_bytes()
    }));
    bodies
}

async fn media_types(site: &Site) -> Tally {
    let mut make: Vec<(String, Change)> = Vec::new();
    for accept in ["", "*/*", "text/html", "application/json", "text/event-stream", "application/xml"] {
        let how = format!("that accepts {accept:?}");
        make.push((how, Box::new(move |request: Request| request.set("accept", accept))));
    }
    for kind in [
        "text/plain",
        "text/html",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json-rpc",
    ] {
        let how = format!("of the type {kind:?}");
        make.push((how, Box::new(move |request: Request| request.set("content-type", kind))));
    }
    without_token(site, &make).await
}

async fn twins(site: &Site) -> Tally {
    let mut make: Vec<(String, Change)> = Vec::new();
    let path = site.target.url.path().to_owned();
    let last = path.rsplit('/').next().unwrap_or_default().to_owned();
    for twin in [
        format!("{path}/"),
        format!("/{path}"),
        format!("{path};x=1"),
        format!("{path}%2f"),
        format!("{path}%20"),
        format!("{path}.json"),
        format!("/x/..%2f{last}"),
        path.to_uppercase(),
        "/".to_owned(),
        "/sse".to_owned(),
        "/messages".to_owned(),
        "/message".to_owned(),
    ] {
        let url = site.target.at(&twin);
        make.push((format!("to {twin}"), Box::new(move |request: Request| request.to(url.clone()))));
    }
    for verb in [Method::PUT, Method::PATCH, Method::GET, Method::DELETE] {
        let how = format!("by {verb}");
        make.push((how, Box::new(move |request: Request| request.verb(verb.clone()))));
    }
    without_token(site, &make).await
}

type Change = Box<dyn Fn(Request) -> Request + Send + Sync>;

/// A call in many forms without a token: a guard that stands on one way in does not stand on its twin.
async fn without_token(site: &Site, changes: &[(String, Change)]) -> Tally {
    let mut tally = Tally::default();
    for (party, _) in site.directions() {
        let Some((reading, _)) = site.readings_of(&party.tenant).next() else {
            tally.absent("nothing can be read");
            continue;
        };
        attempt::control(&mut tally, site, party, reading).await;
        for nobody in &site.nobody {
            let plain = attempt::read(nobody, &reading.what).await;
            if plain.success().is_some() {
                tally.absent("the target serves calls without a token (see ID-01)");
                continue;
            }
            for (how, change) in changes {
                let exchange = nobody.send(change(reading.what.request(nobody)).once()).await;
                if let Some(evidence) = site.foreign("", &exchange) {
                    tally.leak(vec![evidence]);
                } else if exchange.success().is_some() {
                    let why =
                        format!("a request {how} was served without a token, which is needed otherwise");
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else if exchange.replied() {
                    tally.held();
                } else {
                    tally.doubt(failed(&exchange));
                }
                if tally.has_leaked() {
                    return tally;
                }
            }
        }
    }
    tally
}

async fn generations(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let (Some(modern), Some(legacy)) = (&attacker.modern, &victim.legacy) else {
            tally.absent("the target speaks one generation of the protocol only");
            continue;
        };
        let owner = legacy.afresh();
        owner.begin().await;
        // The owner's connections, without the session.
        let mixed = owner.disguised(&modern.afresh());
        let mixed = mixed.speaking_here(modern.era().clone());
        for reading in readings.iter().take(3) {
            for _ in 0..3 {
                let theirs = attempt::read(&owner, &reading.what).await;
                let exchange = attempt::read(&mixed, &reading.what).await;
                tally.control(theirs.success().is_some(), "the owner cannot read in his own session");
                attempt::weigh(&mut tally, site, &victim.tenant, reading, &theirs, attempt::Refusal::Wrong);
                attempt::weigh(
                    &mut tally,
                    site,
                    &attacker.tenant,
                    reading,
                    &exchange,
                    attempt::Refusal::Wrong,
                );
            }
        }
        let first = mixed
            .send(mixed.request(
                "initialize",
                json!({"protocolVersion": "2025-11-25",
            "capabilities": {}, "clientInfo": {"name": "partywall-probe", "version": "1"}}),
            ))
            .await;
        attempt::denied(&mut tally, site, &attacker.tenant, &first);
        for reading in readings.iter().take(1) {
            let after = attempt::read(&owner, &reading.what).await;
            attempt::weigh(&mut tally, site, &victim.tenant, reading, &after, attempt::Refusal::Wrong);
        }
        owner.end().await;
    }
    tally
}
