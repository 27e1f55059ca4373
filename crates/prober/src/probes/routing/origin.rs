//! Requests that a browser sends for a foreign page.

use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::json;

use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::Site,
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-origin",
    Layer::Routing,
    Severity::Medium,
    "Sends requests with the origin of a foreign page and under a foreign host.",
    include_str!("origin.md"),
    &[Technique::new("XP-08", "a foreign origin", Severity::Medium, |site| Box::pin(origin(site)))],
);

async fn origin(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for party in &site.parties {
        let caller = &party.caller;
        let plain = caller.ask("tools/list", json!({})).await;
        tally.control(
            plain.success().is_some(),
            &format!("without an origin it is not served: {}", failed(&plain)),
        );
        for origin in
            ["https://evil.example", "http://evil.example:8080", "null", "http://127.0.0.1.evil.example"]
        {
            let exchange =
                caller.send(caller.request("tools/list", json!({})).header("origin", origin)).await;
            let allows = exchange.reply().and_then(|reply| reply.header("access-control-allow-origin"));
            if exchange.success().is_some() {
                let read = allows.is_some_and(|allowed| allowed == "*" || allowed == origin);
                let more = if read { ", and the page may read the answer" } else { "" };
                let why = format!("a request from a page at {origin:?} was served{more}");
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            } else if exchange.replied() {
                tally.held();
            } else {
                tally.doubt(failed(&exchange));
            }
            let asked = caller
                .bare(Method::OPTIONS)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization");
            let preflight = caller.send(asked).await;
            let allowed = preflight.reply().and_then(|reply| reply.header("access-control-allow-origin"));
            let credentials =
                preflight.reply().and_then(|reply| reply.header("access-control-allow-credentials"));
            if allowed == Some(origin) && credentials == Some("true") {
                let why = format!("any page may send the user's credentials: {origin:?} was allowed them");
                tally.leak(vec![attempt::shown(site, &preflight, why)]);
            }
            if tally.has_leaked() {
                return tally;
            }
        }
    }
    tally
}
