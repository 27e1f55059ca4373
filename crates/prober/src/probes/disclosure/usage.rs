//! Totals that tenants can read.

use partywall_model::{Layer, Severity};
use serde_json::{Map, json};

use crate::{
    arguments::{self, Role, role},
    oracle::shift,
    probes::{
        Probe, Technique, attempt,
        counting::{Pair, watch},
    },
    site::Site,
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-totals",
    Layer::Disclosure,
    Severity::Medium,
    "Watches totals of use and billing while another tenant works.",
    include_str!("usage.md"),
    &[Technique::new("OB-06", "totals that move with another tenant's calls", Severity::Medium, |site| {
        Box::pin(totals(site))
    })],
);

const TOTALS: [&str; 14] = [
    "usage",
    "billing",
    "bill",
    "invoice",
    "quota",
    "limits",
    "metrics",
    "stats",
    "statistics",
    "status",
    "credits",
    "balance",
    "consumption",
    "costs",
];

async fn totals(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some((reading, _)) = site.readings_of(&victim.tenant).next() else { continue };
        let tools = attacker.surface.tools.iter().filter(|tool| {
            attempt::named(tool, &TOTALS)
                && attempt::may_call(site, tool)
                && !arguments::properties(&tool.schema)
                    .iter()
                    .any(|(name, _, required)| *required && role(name) == Role::Id)
        });
        for tool in tools.take(4) {
            let arguments = arguments::object(&tool.schema, &Map::new(), 3);
            let look =
                || attacker.caller.request("tools/call", json!({"name": tool.name, "arguments": arguments}));
            let act = || reading.what.request(&victim.caller);
            let pair = Pair { looker: attacker, actor: victim };
            watch(&mut tally, site, pair, &look, &act, shift::in_answer).await;
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("no tool that may be called shows totals of use with a number that stands still");
    tally
}
