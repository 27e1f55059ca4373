//! Whose quota a call is counted for.

use std::time::Duration;

use partywall_model::{Layer, Severity};
use serde_json::json;

use super::measure::{Met, calm, lanes, part, reading_of};
use crate::{
    oracle::shift,
    probes::{
        Probe, Technique, attempt,
        counting::{Pair, watch},
    },
    site::{Party, Reading, Site},
    tally::Tally,
    target::Request,
};

pub(super) static PROBE: Probe = Probe::new(
    "shared-quota",
    Layer::Capacity,
    Severity::Medium,
    "Looks whether a tenant can have its calls counted for another, and sees how much is left of the other's quota.",
    include_str!("quota.md"),
    &[
        Technique::new("QU-05", "calls that name somebody else as their payer", Severity::Medium, |site| {
            Box::pin(spoofed(site))
        })
        .load(),
        Technique::new("QU-08", "what is left of a quota, in headers", Severity::Low, |site| {
            Box::pin(left(site))
        }),
    ],
);

/// The most calls of one burst.
const BURST: u32 = 900;

/// A call with a payer in every place where limiters look for one.
fn naming(request: Request, payer: &str, address: &str) -> Request {
    request
        .header("x-forwarded-for", address)
        .header("x-real-ip", address)
        .header("forwarded", &format!("for={address}"))
        .header("x-client-id", payer)
        .header("x-tenant-id", payer)
        .header("x-api-key", payer)
        .header("user-agent", payer)
}

fn limited(met: &Met) -> usize {
    met.limited * 100 / met.calls().max(1)
}

async fn spoofed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (noisy, quiet) in site.directions() {
        let Some(reading) = reading_of(site, noisy) else { continue };
        let plain = || reading.what.request(&noisy.caller);
        let first = lanes(site, noisy, BURST, &|_| plain()).await;
        if limited(&first) < 20 {
            tally.absent(format!(
                "{} met no limit in {} calls, so there is none to evade",
                noisy.tenant,
                first.calls()
            ));
            continue;
        }
        settle().await;
        // A new name and a new address for each call, then the same without again: what differs must not be chance.
        let evading =
            lanes(site, noisy, BURST, &|turn| naming(plain(), &format!("payer-{turn}"), &address(turn)))
                .await;
        settle().await;
        let again = lanes(site, noisy, BURST, &|_| plain()).await;
        settle().await;
        let usual = limited(&first).min(limited(&again));
        tally.control(usual >= 20, "the limit is not met each time");
        tally.note(format!("{usual} % of a burst are refused, {} % with other payers.", limited(&evading)));
        if usual >= 20 && limited(&evading) * 4 < usual && evading.took.len() > first.took.len() {
            let why = format!(
                "{usual} % of {}'s calls are refused as too many, and {} % when each names another payer",
                noisy.tenant,
                limited(&evading)
            );
            tally.leak(first.example.iter().map(|example| attempt::shown(site, example, &why)).collect());
            return tally;
        }
        pays(&mut tally, site, (noisy, quiet), reading).await;
        if tally.has_leaked() {
            return tally;
        }
    }
    tally.absent("the target answers no call");
    tally
}

/// The window of most limiters is a second.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

fn address(turn: usize) -> String {
    format!("198.51.100.{}", turn % 250 + 1)
}

/// A burst that names the quiet tenant, beside his calls.
async fn pays(tally: &mut Tally, site: &Site, (noisy, quiet): (&Party, &Party), reading: &Reading) {
    let alone = calm(tally, site, quiet, reading, part(site)).await;
    let make = |_: usize| naming(reading.what.request(&noisy.caller), &quiet.tenant, "127.0.0.1");
    let load = lanes(site, noisy, BURST, &make);
    let mut foreign = Tally::default();
    let (_, beside) =
        futures_util::future::join(load, calm(&mut foreign, site, quiet, reading, part(site))).await;
    tally.merge(foreign);
    if beside.refused() > alone.refused() + 10 && beside.limited >= 3 {
        let why = format!(
            "{} % of {}'s calls were refused as too many while {} sent calls that name it, instead of {} %",
            beside.refused(),
            quiet.tenant,
            noisy.tenant,
            alone.refused()
        );
        tally.leak(beside.example.iter().map(|example| attempt::shown(site, example, &why)).collect());
    } else {
        tally.held();
    }
}

async fn left(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let (Some(reading), Some(theirs)) = (reading_of(site, attacker), reading_of(site, victim)) else {
            continue;
        };
        let look = || reading.what.request(&attacker.caller);
        let act = || theirs.what.request(&victim.caller);
        let pair = Pair { looker: attacker, actor: victim };
        watch(&mut tally, site, pair, &look, &act, shift::in_headers).await;
        let list = || attacker.caller.request("tools/list", json!({}));
        watch(&mut tally, site, pair, &list, &act, shift::in_headers).await;
        if tally.has_leaked() {
            break;
        }
    }
    tally.absent("no header tells of a quota, or its number moves by itself");
    tally
}
