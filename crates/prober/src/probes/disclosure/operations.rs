//! Pages for operators, and trace context.

use std::time::Duration;

use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::json;

use crate::{
    oracle::reading::failed,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
    },
    site::{Party, Site},
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "open-operations",
    Layer::Disclosure,
    Severity::Medium,
    "Opens pages for operators as a tenant and as nobody, and names another tenant in trace context.",
    include_str!("operations.md"),
    &[
        Technique::new("OB-01", "pages for operators, with and without a token", Severity::Medium, |site| {
            Box::pin(pages(site))
        }),
        Technique::new("OB-02", "another tenant in trace context", Severity::Medium, |site| {
            Box::pin(traces(site))
        }),
    ],
);

/// Where servers of many makes have pages for operators. Nothing that changes something or dumps memory.
const PAGES: [&str; 30] = [
    "/metrics",
    "/health",
    "/healthz",
    "/readyz",
    "/status",
    "/info",
    "/debug",
    "/debug/vars",
    "/debug/pprof/",
    "/actuator",
    "/actuator/env",
    "/actuator/metrics",
    "/admin",
    "/api/admin",
    "/sessions",
    "/api/sessions",
    "/tenants",
    "/api/tenants",
    "/users",
    "/config",
    "/env",
    "/.env",
    "/logs",
    "/traces",
    "/server-status",
    "/mcp/metrics",
    "/mcp/health",
    "/mcp/debug",
    "/.well-known/mcp.json",
    "/.well-known/oauth-protected-resource",
];

async fn pages(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        alive(&mut tally, site, attacker).await;
        for path in PAGES {
            let exchange = open(&attacker.caller, site, path).await;
            judge(&mut tally, site, (&attacker.tenant, &[victim]), path, &exchange);
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    let [one, other] = &site.parties;
    if let Some(nobody) = site.nobody.first() {
        for path in PAGES {
            let exchange = open(nobody, site, path).await;
            judge(&mut tally, site, ("", &[one, other]), path, &exchange);
        }
    }
    tally
}

/// That the target still answers shows that what it does not answer is not there.
async fn alive(tally: &mut Tally, site: &Site, party: &Party) {
    match site.readings_of(&party.tenant).next() {
        Some((reading, _)) => {
            attempt::control(tally, site, party, reading).await;
        }
        None => {
            let exchange = party.caller.ask("tools/list", json!({})).await;
            tally.control(exchange.success().is_some(), &failed(&exchange));
        }
    }
}

async fn open(caller: &Caller, site: &Site, path: &str) -> Exchange {
    let request = caller.bare(Method::GET).set("accept", "*/*").to(site.target.at(path));
    caller.send(request.patience(Duration::from_secs(2))).await
}

fn judge(
    tally: &mut Tally,
    site: &Site,
    (tenant, others): (&str, &[&Party]),
    path: &str,
    exchange: &Exchange,
) {
    let Some(reply) = exchange.reply() else {
        // A stream for operators may stay open; what does not answer at all is another matter.
        tally.doubt(format!("{path}: {}", failed(exchange)));
        return;
    };
    if let Some(evidence) = site.foreign(tenant, exchange) {
        tally.leak(vec![evidence]);
        return;
    }
    let body = String::from_utf8_lossy(&reply.body);
    // Metadata of an issuer for each tenant has to name it; and a word that is a tenant's name by chance stands alone.
    let names = others.iter().find(|other| super::catalogue::names(&body, &other.tenant));
    match names {
        Some(other) if reply.status == 200 && !path.starts_with("/.well-known/") => {
            let who = if tenant.is_empty() { "nobody" } else { tenant };
            let why = format!("{path} names {} to {who}", other.tenant);
            tally.leak(vec![site.redactor.evidence(exchange, why, &other.tenant)]);
        }
        _ => tally.held(),
    }
}

async fn traces(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (attacker, victim) in site.directions() {
        let name = &victim.tenant;
        let bags = [
            format!("tenant={name},tenant_id={name},tenantId={name},tenant.id={name}"),
            format!("org_id={name},organization={name},account_id={name},workspace={name}"),
            format!("user={name},user_id={name},userId={name},enduser.id={name},session.id={name}"),
        ];
        for reading in readings.iter().take(3) {
            if !attempt::control(&mut tally, site, attacker, reading).await {
                continue;
            }
            for bag in &bags {
                let (method, mut params) = reading.what.message();
                let plain = reading.what.request(&attacker.caller);
                if let Some(params) = params.as_object_mut() {
                    params.insert("_meta".to_owned(), json!({"traceparent": parent, "baggage": bag}));
                }
                let requests = [
                    plain.clone().header("traceparent", parent).header("baggage", bag),
                    plain.header("traceparent", parent).header("tracestate", &format!("tenant={name}")),
                    attacker.caller.request(method, params),
                ];
                for request in requests {
                    let exchange = attacker.caller.send(request).await;
                    attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, Refusal::Fine);
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    tally
}
