//! Requests that carry no tenant.

use partywall_model::{Layer, Severity};
use serde_json::json;

use crate::{
    probes::{Probe, Technique, attempt},
    site::{Reading, Site},
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "no-tenant",
    Layer::Context,
    Severity::High,
    "Sends requests that carry no tenant, which must be refused and never served as somebody.",
    include_str!("no_tenant.md"),
    &[
        Technique::new("ID-01", "no token, by every method", Severity::High, |site| Box::pin(no_token(site)))
            .quick(),
        Technique::new("ID-22", "an empty token and an empty identity", Severity::High, |site| {
            Box::pin(empty(site))
        }),
    ],
);

async fn no_token(site: &Site) -> Tally {
    let mut tally = Tally::default();
    control(&mut tally, site).await;
    for nobody in &site.nobody {
        try_all(&mut tally, site, nobody, "without a token", usize::MAX).await;
    }
    tally
}

async fn empty(site: &Site) -> Tally {
    let mut tally = Tally::default();
    control(&mut tally, site).await;
    for nobody in &site.nobody {
        for token in ["", " ", "null", "undefined", "None", "0", "false", "Bearer"] {
            let caller = nobody.with_token(Some(token.to_owned()));
            try_all(&mut tally, site, &caller, &format!("with the token {token:?}"), attempt::SAMPLE).await;
            if tally.has_leaked() {
                return tally;
            }
        }
    }
    tally
}

async fn control(tally: &mut Tally, site: &Site) {
    let [party, _] = &site.parties;
    match site.readings_of(&party.tenant).next() {
        Some((reading, _)) => {
            attempt::control(tally, site, party, reading).await;
        }
        None => {
            tally.control(false, "nothing can be read with a token, so nothing shows what the token is for")
        }
    }
}

/// Everything that a tenant was offered, asked for by somebody who is no tenant.
async fn try_all(tally: &mut Tally, site: &Site, caller: &Caller, how: &str, most: usize) {
    let [party, _] = &site.parties;
    let mut asked = vec![
        (None, caller.begin().await),
        (None, Some(caller.ask("tools/list", json!({})).await)),
        (None, Some(caller.ask("resources/list", json!({})).await)),
        (None, Some(caller.ask("ping", json!({})).await)),
    ];
    let readings: Vec<&Reading> = site.readings_of(&party.tenant).map(|(reading, _)| reading).collect();
    for reading in attempt::turns(site, &readings).take(most) {
        asked.push((Some(reading), Some(attempt::read(caller, &reading.what).await)));
    }
    for (reading, exchange) in asked.into_iter().filter_map(|(reading, exchange)| Some((reading, exchange?)))
    {
        let known = |reading| exchange.success().is_some_and(|result| attempt::known(reading, result));
        if let Some(evidence) = site.foreign("", &exchange) {
            tally.leak(vec![evidence]);
        } else if reads(&exchange) && !reading.is_none_or(known) {
            // A target that answers anything has served nobody.
            tally.doubt(format!("a request {how} was answered, but with nothing that a tenant is shown"));
        } else if reads(&exchange) {
            let why = format!("a request {how} was served: as whom, if not as nobody?");
            tally.leak(vec![attempt::shown(site, &exchange, why)]);
        } else if exchange.replied() {
            tally.held();
        } else {
            tally.doubt(crate::oracle::reading::failed(&exchange));
        }
    }
}

/// Whether a call or a read was served. Handshakes and lists may be open to everybody.
fn reads(exchange: &Exchange) -> bool {
    let body = String::from_utf8_lossy(&exchange.request.body);
    exchange.success().is_some()
        && ["\"tools/call\"", "\"resources/read\"", "\"prompts/get\""]
            .iter()
            .any(|method| body.contains(method))
}
