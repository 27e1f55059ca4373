//! Connections and sessions at an upstream that one tenant leaves warm.

use partywall_model::{Layer, Severity};

use super::upstream::tells;
use crate::{
    oracle::reading::failed,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal},
        state::left,
    },
    site::{Reading, Site},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "warm-upstream",
    Layer::Credentials,
    Severity::High,
    "Calls an upstream as one tenant on what the other has just left warm.",
    include_str!("warm.md"),
    &[
        Technique::new(
            "CR-02",
            "an upstream's connection that the other left warm",
            Severity::High,
            |site| Box::pin(warm(site)),
        ),
        Technique::new("CR-04", "a place that the other moved to at an upstream", Severity::High, |site| {
            Box::pin(left::set(site, &left::MOVES))
        }),
    ],
);

/// Turns of one after the other.
const TURNS: usize = 4;

async fn warm(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let readings: Vec<&Reading> = site
        .telling()
        .filter(|reading| {
            reading
                .alone
                .values()
                .any(|facts| facts.leaves().any(|(path, text)| tells(path) && text.len() >= 3))
        })
        .collect();
    if readings.is_empty() {
        return Tally::not_run(
            "no answer says which credential the upstream saw (a field such as fingerprint, key_id or authenticated_as)",
        );
    }
    for (attacker, victim) in site.directions() {
        // On connections of its own: what is shared then lies behind the target.
        let caller = attacker.caller.afresh();
        caller.begin().await;
        for reading in attempt::turns(site, &readings) {
            for _ in 0..TURNS {
                for _ in 0..2 {
                    attempt::control(&mut tally, site, victim, reading).await;
                }
                let exchange = attempt::read(&caller, &reading.what).await;
                if exchange.replied() {
                    attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, Refusal::Wrong);
                } else {
                    tally.doubt(failed(&exchange));
                }
                if tally.has_leaked() || site.target.late() {
                    caller.end().await;
                    return tally;
                }
            }
        }
        caller.end().await;
    }
    tally
}
