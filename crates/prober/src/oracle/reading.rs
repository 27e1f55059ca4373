//! Non-interference: a tenant is shown what it is shown alone.

use partywall_model::Evidence;
use serde_json::Value;

use crate::{
    facts::Facts,
    site::{Reading, Site},
    target::Exchange,
};

/// What an answer shows about who was answered.
#[derive(Debug)]
pub(crate) enum Judged {
    /// The tenant was shown what it is shown alone.
    Own,
    /// The tenant was shown what is another's.
    Foreign(Evidence),
    /// The tenant was shown something else than alone, and nothing of the other's: it may have changed by itself.
    Changed(String),
    /// There was no answer that could be judged.
    Failed(String),
}

/// The least length of a text that tells two tenants apart: shorter ones are counts and flags.
const TELLING: usize = 3;

/// Judges an answer to something that both tenants can read, as an answer to `tenant`.
pub(crate) fn judge(site: &Site, tenant: &str, reading: &Reading, exchange: &Exchange) -> Judged {
    if let Some(evidence) = site.foreign(tenant, exchange) {
        return Judged::Foreign(evidence);
    }
    let Some(result) = exchange.success() else {
        return Judged::Failed(failed(exchange));
    };
    let Some(own) = reading.alone.get(tenant) else {
        return Judged::Failed(format!("{} was never read by {tenant} alone", reading.what.name()));
    };
    let shown = Facts::of(result);
    if own.holds_in(&shown) {
        return Judged::Own;
    }
    for (owner, alone) in reading.alone.iter().filter(|(owner, _)| *owner != tenant) {
        if let Some((path, text)) = telling(alone, own, &shown) {
            let why = format!(
                "{tenant} asked for {} and was shown {text:?} at {path}, as {owner} is",
                reading.what.name()
            );
            return Judged::Foreign(site.redactor.evidence(exchange, why, text));
        }
    }
    let (path, was, now) = own.difference(&shown).unwrap_or_default();
    Judged::Changed(format!(
        "{} showed {tenant} {:?} at {path} instead of {was:?}",
        reading.what.name(),
        now.unwrap_or_default()
    ))
}

/// A text that the other is shown at a place where the tenant is shown something else.
fn telling<'a>(other: &'a Facts, own: &Facts, shown: &Facts) -> Option<(&'a str, &'a str)> {
    let shown: std::collections::BTreeMap<&str, &str> = shown.leaves().collect();
    let own: std::collections::BTreeMap<&str, &str> = own.leaves().collect();
    let own_texts: std::collections::BTreeSet<&str> = own.values().copied().collect();
    other.leaves().find(|(path, text)| {
        text.chars().count() >= TELLING
            && shown.get(path) == Some(text)
            && own.get(path).is_some_and(|mine| mine != text)
            && !own_texts.contains(text)
    })
}

/// Why an answer could not be judged.
pub(crate) fn failed(exchange: &Exchange) -> String {
    match &exchange.outcome {
        Err(failure) => format!("{}: {failure}", exchange.who),
        Ok(reply) => match exchange.error() {
            Some((code, text)) => format!("{} was refused: {code} {text}", exchange.who),
            None => match exchange.result().and_then(|result| result.get("content")) {
                Some(content) => format!("{} got an error: {}", exchange.who, short(content)),
                None => format!("{} got HTTP {}", exchange.who, reply.status),
            },
        },
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}
