//! What lists and schemas tell, and what can be called that is not listed.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    oracle::{difference, reading::failed},
    probes::{Probe, Technique, attempt},
    site::Site,
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-catalogue",
    Layer::Disclosure,
    Severity::High,
    "Looks for another tenant in lists and schemas, and calls tools that are listed for the other only.",
    include_str!("catalogue.md"),
    &[
        Technique::new("CT-01", "another tenant in lists and descriptions", Severity::High, |site| {
            Box::pin(lists(site))
        }),
        Technique::new("CT-02", "another tenant in schemas", Severity::High, |site| Box::pin(schemas(site))),
        Technique::new("CT-04", "tools that are listed for the other only", Severity::High, |site| {
            Box::pin(unlisted(site))
        })
        .quick(),
    ],
);

async fn lists(site: &Site) -> Tally {
    let mut tally = Tally::default();
    alive(&mut tally, site).await;
    for (attacker, victim) in site.directions() {
        for (method, exchange) in &attacker.surface.lists {
            if let Some(evidence) = site.foreign(&attacker.tenant, exchange) {
                tally.leak(vec![evidence]);
            } else if let Some(reply) = exchange.reply() {
                tally.control(exchange.success().is_some(), &format!("{method} is not answered"));
                if exchange.success().is_some()
                    && names(&String::from_utf8_lossy(&reply.body), &victim.tenant)
                {
                    let why = format!("{method} of {} names the tenant {}", attacker.tenant, victim.tenant);
                    tally.leak(vec![site.redactor.evidence(exchange, why, &victim.tenant)]);
                } else {
                    tally.held();
                }
            } else {
                tally.doubt(failed(exchange));
            }
        }
    }
    tally
}

/// Lists were read before the attacks began; that the target still answers shows that they are its own.
async fn alive(tally: &mut Tally, site: &Site) {
    for party in &site.parties {
        let exchange = party.caller.ask("tools/list", json!({})).await;
        if exchange.success().is_none() {
            tally.doubt(failed(&exchange));
        }
    }
}

/// Whether a text has a tenant's name as a word of its own. A name that is a common word proves nothing.
pub(super) fn names(text: &str, tenant: &str) -> bool {
    const COMMON: [&str; 12] =
        ["a", "b", "one", "two", "tenant", "user", "test", "default", "admin", "owner", "other", "org"];
    if tenant.len() < 4 || COMMON.contains(&tenant.to_ascii_lowercase().as_str()) {
        return false;
    }
    text.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|word| word.eq_ignore_ascii_case(tenant))
}

async fn schemas(site: &Site) -> Tally {
    let mut tally = Tally::default();
    alive(&mut tally, site).await;
    for (attacker, victim) in site.directions() {
        let own: Vec<String> =
            victim.ids.iter().filter_map(|id| id.value.as_str().map(str::to_owned)).collect();
        for tool in &attacker.surface.tools {
            let mut texts = Vec::new();
            constants(&tool.schema, &mut texts, 12);
            let theirs = texts.iter().find(|text| {
                let other = own.contains(text) && !attacker.ids.iter().any(|id| id.value == json!(text));
                text.len() >= 4 && (other || text.eq_ignore_ascii_case(&victim.tenant))
            });
            match theirs {
                Some(text) => {
                    let why = format!("the schema of {} offers {text:?} to {}", tool.name, attacker.tenant);
                    let list = attacker.surface.lists.iter().find(|(method, _)| *method == "tools/list");
                    tally.leak(
                        list.map(|(_, list)| site.redactor.evidence(list, why, text)).into_iter().collect(),
                    );
                }
                None => tally.held(),
            }
            tally.control(true, "");
        }
    }
    tally.absent("the target offers no tools");
    tally
}

/// The values that a schema names.
fn constants(schema: &Value, texts: &mut Vec<String>, depth: usize) {
    if depth == 0 || texts.len() > 500 {
        return;
    }
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("enum" | "examples", Value::Array(all)) => {
                        texts.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const" | "default", Value::String(text)) => texts.push(text.clone()),
                    (_, value) => constants(value, texts, depth - 1),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| constants(value, texts, depth - 1)),
        _ => {}
    }
}

async fn unlisted(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let theirs = victim.surface.tools.iter().filter(|tool| attacker.surface.tool(&tool.name).is_none());
        for tool in theirs.take(8) {
            let own = site.readings_of(&victim.tenant).find(|(reading, _)| reading.what.name() == tool.name);
            let Some((reading, _)) = own else { continue };
            attempt::control(&mut tally, site, victim, reading).await;
            let Some((name, arguments)) = attempt::as_tool(reading) else { continue };
            let exchange = attacker.caller.call(name, arguments).await;
            let twin = json!(format!("{name}_{}", fastrand::u32(100_000..999_999)));
            let unknown = attacker.caller.call(twin.as_str().unwrap_or_default(), arguments).await;
            if let Some(evidence) = site.foreign(&attacker.tenant, &exchange) {
                tally.leak(vec![evidence]);
            } else if exchange.success().is_some() {
                let why =
                    format!("{} called {name}, which is listed for {} only", attacker.tenant, victim.tenant);
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            } else if !exchange.replied() {
                tally.doubt(failed(&exchange));
            } else if let Some(what) = difference(&exchange, &json!(name), &unknown, &twin) {
                let why = format!(
                    "{} can tell a tool of {} from one that nobody has: {what}",
                    attacker.tenant, victim.tenant
                );
                tally.leak(vec![
                    attempt::shown(site, &exchange, why),
                    attempt::shown(site, &unknown, "an unknown tool"),
                ]);
            } else {
                tally.held();
            }
        }
    }
    tally.absent("both tenants are offered the same tools");
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenants_name_counts_as_a_word_only() {
        assert!(names("tools of acme.", "acme"));
        assert!(!names("the acmeish tool", "acme"));
        assert!(!names("the default tool", "default"));
    }
}
