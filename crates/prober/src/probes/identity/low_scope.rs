//! Tools that are hidden from a caller with fewer rights, called by name.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use super::jwt::Mint;
use crate::{
    arguments,
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::{Kind, Tool},
    tally::Tally,
    target::Caller,
};

pub(super) static PROBE: Probe = Probe::new(
    "hidden-tools",
    Layer::Identity,
    Severity::High,
    "Calls, with fewer rights, the tools that are listed only for more.",
    include_str!("low_scope.md"),
    &[Technique::new("ID-27", "tools that are hidden from the caller", Severity::High, |site| {
        Box::pin(hidden(site))
    })],
);

/// Claims in which issuers write what a token is good for.
const RIGHTS: [&str; 7] = ["scope", "scp", "scopes", "roles", "role", "permissions", "groups"];
/// The most hidden tools that are called.
const MOST: usize = 6;

async fn hidden(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for party in &site.parties {
        for low in lesser(&mut tally, site, party) {
            try_all(&mut tally, site, party, &low).await;
        }
    }
    if let Some(colleague) = &site.colleague
        && let Some(party) = site.party(&colleague.tenant)
    {
        try_all(&mut tally, site, party, colleague).await;
    }
    tally
}

/// The party with tokens of the issuer's that grant less.
fn lesser(tally: &mut Tally, site: &Site, party: &Party) -> Vec<Caller> {
    let mint = match Mint::new(site, party) {
        Ok(mint) => mint,
        Err(why) => {
            if site.colleague.is_none() {
                tally.absent(format!("{why}; a second user with fewer rights (--user) would do as well"));
            }
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    let without: serde_json::Map<String, Value> = mint
        .own
        .claims
        .iter()
        .filter(|(name, _)| !RIGHTS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut empty = without.clone();
    empty.insert("scope".to_owned(), json!(""));
    for claims in [without, empty] {
        if claims != mint.own.claims
            && let Some(token) = mint.sign(&mint.own.header, &Value::Object(claims).to_string())
        {
            all.push(party.caller.with_token(Some(token)));
        }
    }
    all
}

async fn try_all(tally: &mut Tally, site: &Site, party: &Party, low: &Caller) {
    let list = low.ask("tools/list", json!({})).await;
    let Some(offered) = list.success().and_then(|result| result.get("tools")).and_then(Value::as_array)
    else {
        tally.absent("a token that grants less is refused altogether");
        return;
    };
    let named = |tool: &&Tool| offered.iter().any(|one| one.get("name") == Some(&json!(tool.name)));
    let may = |tool: &&Tool| tool.kind == Kind::Read || (site.plan.allow_writes && !tool.destroys);
    let hidden: Vec<&Tool> =
        party.surface.tools.iter().filter(may).filter(|tool| !named(tool)).take(MOST).collect();
    if hidden.is_empty() {
        tally.absent("no tool is hidden from a token that grants less");
    }
    for tool in hidden {
        let sets = arguments::sets(&tool.schema, &party.ids, &tool.name);
        let Some(arguments) = sets.into_iter().next() else { continue };
        let full = party.caller.call(&tool.name, &arguments).await;
        if full.success().is_none() {
            tally.absent(format!("{} does not work with all rights either: {}", tool.name, failed(&full)));
            continue;
        }
        tally.control(true, "");
        let exchange = low.call(&tool.name, &arguments).await;
        if let Some(evidence) = site.foreign(&party.tenant, &exchange) {
            tally.leak(vec![evidence]);
        } else if exchange.success().is_some() {
            let why =
                format!("{} is hidden from {}, and was served when called by name", tool.name, low.name);
            tally.leak(vec![attempt::shown(site, &exchange, why)]);
        } else if exchange.replied() {
            tally.held();
        } else {
            tally.doubt(failed(&exchange));
        }
    }
}
