//! Whose credential an upstream sees, as far as answers tell.

use partywall_model::{Layer, Severity};

use crate::{
    facts::key,
    probes::{Probe, Technique, attempt},
    race::{self, Schedule},
    site::{Reading, Site},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-credential",
    Layer::Credentials,
    Severity::High,
    "Looks in answers for the credential or account that the upstream saw, and who it belongs to.",
    include_str!("upstream.md"),
    &[
        Technique::new(
            "CR-01",
            "the credential that an upstream saw, for both tenants",
            Severity::High,
            |site| Box::pin(echoed(site)),
        )
        .quick(),
        Technique::new("CR-03", "a tenant without a credential of its own", Severity::High, |site| {
            Box::pin(absent(site))
        })
        .quick(),
        Technique::new("CR-05", "selectors left out one at a time", Severity::High, |site| {
            Box::pin(omitted(site))
        })
        .quick(),
    ],
);

/// Names of fields that tell which credential an upstream saw.
const TELLS: [&str; 16] = [
    "fingerprint",
    "credential",
    "credentialid",
    "keyid",
    "keyfingerprint",
    "apikeyid",
    "apikeyfingerprint",
    "tokenid",
    "tokenfingerprint",
    "authenticatedas",
    "authenticateduser",
    "authuser",
    "calledas",
    "accountid",
    "accountname",
    "principal",
];

pub(super) fn tells(path: &str) -> bool {
    let flat: String =
        key(path).chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    TELLS.contains(&flat.as_str())
}

async fn echoed(site: &Site) -> Tally {
    let [one, other] = &site.parties;
    let mut tally = Tally::default();
    let mut telling: Vec<&Reading> = Vec::new();
    for reading in site.common() {
        let (Some(first), Some(second)) = (reading.alone.get(&one.tenant), reading.alone.get(&other.tenant))
        else {
            continue;
        };
        for (path, text) in first.leaves().filter(|(path, text)| tells(path) && text.len() >= 3) {
            let Some((_, theirs)) = second.leaves().find(|(known, _)| *known == path) else { continue };
            if theirs == text {
                let exchange = attempt::read(&other.caller, &reading.what).await;
                let why = format!(
                    "{} calls its upstream with the same credential for both tenants: {} is {text:?} for {} and {}",
                    reading.what.name(),
                    key(path),
                    one.tenant,
                    other.tenant
                );
                tally.leak(vec![site.redactor.evidence(&exchange, why, text)]);
            } else {
                telling.push(reading);
            }
        }
    }
    if tally.has_leaked() {
        return tally;
    }
    telling.dedup_by(|a, b| a.what == b.what);
    if telling.is_empty() {
        return Tally::not_run(
            "no answer says which credential the upstream saw (a field such as fingerprint, key_id or authenticated_as)",
        );
    }
    for party in &site.parties {
        for reading in &telling {
            attempt::control(&mut tally, site, party, reading).await;
        }
    }
    // The two by turns and at once: a client that is memoised or shared shows then.
    let schedule = Schedule::mixed(site.chance("CR-01"), site.plan.concurrency.min(8), telling.len());
    race::run(&mut tally, site, &telling, schedule, site.plan.racing / 3).await;
    tally
}

async fn absent(site: &Site) -> Tally {
    // A tool that answers one tenant and says to the other that a credential is missing is the honest form.
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for (reading, _) in site.readings_of(&victim.tenant) {
            if reading.alone.contains_key(&attacker.tenant) || attempt::as_tool(reading).is_none() {
                continue;
            }
            let refusal = site.survey.iter().find(|exchange| {
                exchange.who == attacker.tenant
                    && exchange.success().is_none()
                    && calls(exchange, reading.what.name())
                    && names_a_credential(exchange)
            });
            let Some(refusal) = refusal else { continue };
            attempt::control(&mut tally, site, victim, reading).await;
            attempt::denied(&mut tally, site, &attacker.tenant, refusal);
            // What the victim's call left warm must not serve the attacker now.
            let again = attempt::read(&attacker.caller, &reading.what).await;
            if again.success().is_some() && site.foreign(&attacker.tenant, &again).is_none() {
                let why = format!(
                    "{} has no credential for {}, and was served right after a call of {}",
                    attacker.tenant,
                    reading.what.name(),
                    victim.tenant
                );
                tally.leak(vec![
                    attempt::shown(site, refusal, "refused before"),
                    attempt::shown(site, &again, why),
                ]);
            } else {
                attempt::denied(&mut tally, site, &attacker.tenant, &again);
            }
        }
    }
    tally.absent("both tenants have a credential wherever one is needed, or none is");
    tally
}

/// Whether an exchange is a call of a tool.
fn calls(exchange: &crate::target::Exchange, tool: &str) -> bool {
    let sent: serde_json::Value = serde_json::from_slice(&exchange.request.body).unwrap_or_default();
    sent.pointer("/params/name").and_then(serde_json::Value::as_str) == Some(tool)
}

fn names_a_credential(exchange: &crate::target::Exchange) -> bool {
    exchange.reply().is_some_and(|reply| {
        let text = String::from_utf8_lossy(&reply.body).to_ascii_lowercase();
        ["secret", "credential", "api key", "api_key", "not configured", "not connected"]
            .iter()
            .any(|w| text.contains(w))
    })
}

async fn omitted(site: &Site) -> Tally {
    if site.plan.headers.is_empty() {
        return Tally::not_run("no header selects anything; those that do are given with --header");
    }
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for party in &site.parties {
        for reading in readings.iter().take(2) {
            attempt::control(&mut tally, site, party, reading).await;
            for (name, _) in &site.plan.headers {
                for value in [None, Some(""), Some("0"), Some("null")] {
                    let request = reading.what.request(&party.caller).leaving_out(name);
                    let request = match value {
                        Some(value) => request.header(name, value),
                        None => request,
                    };
                    let exchange = party.caller.send(request).await;
                    attempt::weigh(
                        &mut tally,
                        site,
                        &party.tenant,
                        reading,
                        &exchange,
                        attempt::Refusal::Fine,
                    );
                }
            }
        }
    }
    tally
}
