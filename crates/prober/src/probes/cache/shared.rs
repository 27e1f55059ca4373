//! What a target tells caches that stand between it and its callers.

use http::HeaderMap;
use partywall_model::{Layer, Severity};
use serde_json::Value;

use crate::{
    facts::Facts,
    oracle::reading::failed,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
    },
    site::{Party, Reading, Site},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-caching",
    Layer::Cache,
    Severity::High,
    "Looks whether answers that differ between tenants are marked as everybody's.",
    include_str!("shared.md"),
    &[
        Technique::new(
            "CA-04",
            "validators of another tenant, and headers for shared caches",
            Severity::High,
            |site| Box::pin(validators(site)),
        ),
        Technique::new("CA-08", "answers that differ, marked as public", Severity::High, |site| {
            Box::pin(scopes(site))
        }),
    ],
);

async fn validators(site: &Site) -> Tally {
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in attempt::turns(site, &readings) {
            if !attempt::control(&mut tally, site, victim, reading).await {
                continue;
            }
            let own = attempt::read(&victim.caller, &reading.what).await;
            if let Some(header) = own.reply().and_then(|reply| shareable(&reply.headers)) {
                let why = format!(
                    "the answer to {} is {}'s alone and says {header:?}: a shared cache may give it to anybody",
                    reading.what.name(),
                    victim.tenant
                );
                tally.leak(vec![site.redactor.evidence(&own, why, &header)]);
                return tally;
            }
            tally.held();
            revalidate(&mut tally, site, attacker, reading, &own).await;
        }
    }
    tally
}

/// The header that lets a shared cache keep the answer for everybody, if there is one.
fn shareable(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let control = text("cache-control").to_ascii_lowercase();
    let has = |word: &str| {
        control.split(',').any(|part| part.trim() == word || part.trim().starts_with(&format!("{word}=")))
    };
    let kept = !has("private") && !has("no-store");
    let varies = text("vary")
        .split(',')
        .any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("authorization"));
    (kept && !varies && (has("public") || has("s-maxage"))).then(|| format!("cache-control: {control}"))
}

/// The attacker asks whether the victim's answer is still the newest one.
async fn revalidate(tally: &mut Tally, site: &Site, attacker: &Party, reading: &Reading, own: &Exchange) {
    let Some(reply) = own.reply() else { return };
    let pairs = [("etag", "if-none-match"), ("last-modified", "if-modified-since")];
    for (given, asked) in pairs {
        let Some(value) = reply.header(given) else { continue };
        let request = reading.what.request(&attacker.caller).header(asked, value);
        let exchange = attacker.caller.send(request).await;
        if given == "etag" && exchange.status() == 304 {
            let why = format!(
                "{} asked with the other tenant's {given} and was told that nothing has changed",
                attacker.tenant
            );
            tally.leak(vec![
                attempt::shown(site, own, "the owner's answer"),
                attempt::shown(site, &exchange, why),
            ]);
        } else if exchange.status() == 304 {
            // Both may have been changed at the same second.
            tally.held();
        } else {
            attempt::weigh(tally, site, &attacker.tenant, reading, &exchange, Refusal::Fine);
        }
    }
}

/// The scope that a result of 2026-07-28 claims.
fn public(exchange: &Exchange) -> bool {
    exchange.success().and_then(|result| result.get("cacheScope")).and_then(Value::as_str) == Some("public")
}

async fn scopes(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let [one, other] = &site.parties;
    if one.modern.is_none() || other.modern.is_none() {
        return Tally::not_run("cacheScope is a matter of 2026-07-28, which the target does not speak");
    }
    let mut pairs = Vec::new();
    for method in
        ["server/discover", "tools/list", "resources/list", "resources/templates/list", "prompts/list"]
    {
        let asked = |party: &'_ Party| party.caller.request(method, serde_json::json!({}));
        pairs.push((one.caller.send(asked(one)).await, other.caller.send(asked(other)).await));
    }
    for reading in attempt::turns(site, &site.telling().collect::<Vec<_>>()) {
        let exchanges = (
            attempt::read(&one.caller, &reading.what).await,
            attempt::read(&other.caller, &reading.what).await,
        );
        pairs.push(exchanges);
    }
    for (first, second) in &pairs {
        let (Some(mine), Some(his)) = (first.success(), second.success()) else {
            if !first.replied() || !second.replied() {
                tally.doubt(failed(first));
            }
            continue;
        };
        tally.control(true, "");
        if (public(first) || public(second)) && Facts::of(mine) != Facts::of(his) && again(site, first).await
        {
            let why = format!(
                "the answer says that its cacheScope is public, and {} and {} are answered differently",
                first.who, second.who
            );
            tally.leak(vec![
                attempt::shown(site, first, "one tenant's answer"),
                attempt::shown(site, second, why),
            ]);
        } else {
            tally.held();
        }
    }
    tally
}

/// Whether an answer is the same when it is asked for again: one that changes by itself differs for everybody.
async fn again(site: &Site, exchange: &Exchange) -> bool {
    let Some(party) = site.party(&exchange.who) else { return false };
    let again = party.caller.send(exchange.request.clone()).await;
    match (exchange.success(), again.success()) {
        (Some(first), Some(second)) => Facts::of(first) == Facts::of(second),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shared_cache_may_keep_is_shareable() {
        let reply = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        assert!(shareable(&reply(&[("cache-control", "public, max-age=60")])).is_some());
        assert!(shareable(&reply(&[("cache-control", "s-maxage=60")])).is_some());
        for fine in [
            &[("cache-control", "private, max-age=60")][..],
            &[("cache-control", "no-store")],
            &[("cache-control", "max-age=60")],
            &[("cache-control", "public"), ("vary", "Accept, Authorization")],
            &[],
        ] {
            assert!(shareable(&reply(fine)).is_none(), "{fine:?}");
        }
    }
}
