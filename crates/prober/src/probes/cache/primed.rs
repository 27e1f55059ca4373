//! Answers that one tenant's request left behind for another.

use partywall_model::{Layer, Severity};
use serde_json::json;

use crate::{
    facts::Facts,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
    },
    site::Site,
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "primed-cache",
    Layer::Cache,
    Severity::High,
    "Reads as one tenant what another has just read, in both orders.",
    include_str!("primed.md"),
    &[
        Technique::new(
            "CA-01",
            "the same read by one tenant right after the other",
            Severity::High,
            |site| Box::pin(primed(site)),
        )
        .quick(),
        Technique::new("CA-02", "lists by turns", Severity::High, |site| Box::pin(lists(site))).quick(),
    ],
);

async fn primed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let readings: Vec<_> = site.common().into_iter().take(2 * attempt::SAMPLE).collect();
    attempt::doubt_blind(&mut tally, site, &readings);
    for reading in readings {
        for (attacker, victim) in site.directions() {
            // The owner's own read is the control and fills the cache; it may already come from the other's.
            if attempt::control(&mut tally, site, victim, reading).await {
                let exchange = attempt::read(&attacker.caller, &reading.what).await;
                attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, Refusal::Wrong);
            }
            if tally.has_leaked() || site.target.late() {
                return tally;
            }
        }
    }
    tally.absent("nothing can be read by both tenants with the same arguments");
    tally
}

async fn lists(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let [one, other] = &site.parties;
    for method in ["tools/list", "resources/list", "prompts/list"] {
        let alone = |party: &crate::site::Party| {
            let list = party.surface.lists.iter().find(|(known, _)| *known == method)?;
            list.1.success().map(Facts::of)
        };
        let (Some(first), Some(second)) = (alone(one), alone(other)) else { continue };
        for _ in 0..6 {
            for (party, own, foreign) in [(one, &first, &second), (other, &second, &first)] {
                let exchange = party.caller.ask(method, json!({})).await;
                let Some(result) = exchange.success() else {
                    tally.doubt(crate::oracle::reading::failed(&exchange));
                    continue;
                };
                let shown = Facts::of(result);
                if let Some(evidence) = site.foreign(&party.tenant, &exchange) {
                    tally.leak(vec![evidence]);
                } else if own.holds_in(&shown) {
                    tally.held();
                    tally.control(true, "");
                } else if foreign.holds_in(&shown) {
                    let why =
                        format!("{} asked for {method} and was shown the other tenant's list", party.tenant);
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else {
                    tally.doubt(format!("{method} changed between two requests of {}", party.tenant));
                }
            }
        }
    }
    tally.absent("the target offers no lists");
    tally
}
