//! A tenant that is suspended, or removed and made anew: whether what it had goes on.

use std::time::Duration;

use http::Method;
use partywall_model::{Layer, Severity};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    canary::Origin,
    errand,
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
    target::{Caller, Exchange, Open},
};

pub(super) static PROBE: Probe = Probe::new(
    "ended-tenants",
    Layer::Identity,
    Severity::High,
    "Suspends a tenant, or makes it anew, and asks for what it had.",
    include_str!("ended_tenants.md"),
    &[
        Technique::new("LC-01", "a suspended tenant's tokens and sessions", Severity::High, |site| {
            Box::pin(suspended(site))
        })
        .last(),
        Technique::new("LC-03", "another tenant of the same name", Severity::High, |site| {
            Box::pin(anew(site))
        })
        .last(),
    ],
);

/// How long a target may take to hear of it.
const WINDOW: Duration = Duration::from_secs(5);
/// How often it is asked meanwhile.
const EACH: Duration = Duration::from_millis(200);
/// The most readings that a new tenant is tried on.
const MOST: usize = 30;

/// Ways of asking that began before, each with what it is called.
struct Doors {
    callers: Vec<(String, Caller)>,
    /// A stream that was opened before.
    stream: Option<Open>,
}

impl Doors {
    /// Somebody in each generation, in the session where there are sessions, and fresh ones.
    async fn open(party: &Party) -> Self {
        let mut callers = Vec::new();
        let mut stream = None;
        for base in party.callers() {
            let (lasting, revision) = (base.afresh(), base.era().revision());
            lasting.begin().await;
            if lasting.session().is_some() && !lasting.streams() && stream.is_none() {
                stream = Some(lasting.open(lasting.bare(Method::GET).set("accept", "text/event-stream")));
            }
            let how = if lasting.session().is_some() { "in a session that it had" } else { "with its token" };
            callers.push((format!("{how} ({revision})"), lasting));
        }
        Self { callers, stream }
    }

    async fn close(self) {
        for (_, caller) in self.callers {
            caller.end().await;
        }
    }
}

async fn suspended(site: &Site) -> Tally {
    let errands = &site.plan.errands;
    let (Some(suspend), Some(_)) = (&errands.suspend, &errands.resume) else {
        return Tally::not_run(
            "it needs a tenant to be suspended and resumed; --suspend and --resume take the commands",
        );
    };
    let mut tally = Tally::default();
    let [other, victim] = &site.parties;
    let Some(reading) = site.readings_of(&victim.tenant).map(|(reading, _)| reading).next() else {
        return Tally::not_run("a tenant can read nothing, so that nothing shows whether it is served");
    };
    if !attempt::control(&mut tally, site, victim, reading).await {
        return tally;
    }
    let mut doors = Doors::open(victim).await;
    site.suspended(&victim.tenant, true);
    if let Err(why) = errand::run(suspend, &victim.tenant).await {
        tally.doubt(format!("{} could not be suspended: {why}", victim.tenant));
    } else {
        let since = Instant::now();
        for (door, caller) in &doors.callers {
            served_after(&mut tally, site, (victim, reading), (door, caller), since).await;
        }
        if !tally.has_leaked() {
            begins_anew(&mut tally, site, victim, reading).await;
        }
        if let Some(open) = doors.stream.take()
            && open.status_now() == 200
            && !open.ended()
        {
            tally.note("A stream that was open stays open; nothing came on it.");
        }
        let beside = attempt::read(&other.caller, &reading.what).await;
        let well = beside.success().is_some() || !reading.alone.contains_key(&other.tenant);
        tally.control(well, &format!("{} is not served any more either: {}", other.tenant, failed(&beside)));
    }
    doors.close().await;
    resume(&mut tally, site, victim, reading).await;
    tally
}

/// What is served at once may be on its way; what is served at the end of the window leaks.
async fn served_after(
    tally: &mut Tally,
    site: &Site,
    (victim, reading): (&Party, &Reading),
    (door, caller): (&str, &Caller),
    since: Instant,
) {
    loop {
        let exchange = attempt::read(caller, &reading.what).await;
        let gone = since.elapsed();
        if !exchange.replied() {
            return tally.doubt(failed(&exchange));
        }
        if exchange.success().is_none() {
            tally.held();
            if gone > EACH * 2 {
                tally.note(format!("{door} it was served for up to {:.1} s more.", gone.as_secs_f64()));
            }
            return;
        }
        if gone >= WINDOW {
            let why = format!(
                "{} s after it was suspended, {} is still served {door}",
                gone.as_secs(),
                victim.tenant
            );
            return tally.leak(vec![attempt::shown(site, &exchange, why)]);
        }
        tokio::time::sleep(EACH.min(site.target.left())).await;
    }
}

/// Whoever comes after the suspension must not get in at all.
async fn begins_anew(tally: &mut Tally, site: &Site, victim: &Party, reading: &Reading) {
    for base in victim.callers() {
        let fresh = base.afresh();
        fresh.begin().await;
        for exchange in [attempt::read(&fresh, &reading.what).await, fresh.ask("tools/list", json!({})).await]
        {
            if exchange.success().is_some() {
                let why = format!(
                    "{} is suspended, and what it begins on a new connection is served ({})",
                    victim.tenant,
                    base.era().revision()
                );
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            } else if exchange.replied() {
                tally.held();
            } else {
                tally.doubt(failed(&exchange));
            }
        }
        fresh.end().await;
    }
}

/// Lets the tenant in again, and looks whether it is well.
async fn resume(tally: &mut Tally, site: &Site, victim: &Party, reading: &Reading) {
    if let Err(why) = restore(site).await {
        tally.doubt(why);
        return;
    }
    victim.caller.begin().await;
    let since = Instant::now();
    loop {
        let exchange = attempt::read(&victim.caller, &reading.what).await;
        match judge(site, &victim.tenant, reading, &exchange) {
            Judged::Own | Judged::Changed(_) => return tally.control(true, ""),
            Judged::Foreign(evidence) => return tally.leak(vec![evidence]),
            Judged::Failed(why) if since.elapsed() >= WINDOW => {
                return tally.doubt(format!("after it was resumed {} is not served: {why}", victim.tenant));
            }
            Judged::Failed(_) => tokio::time::sleep(EACH).await,
        }
    }
}

/// Resumes whoever is still suspended: also when the run was stopped in the middle.
pub(crate) async fn restore(site: &Site) -> Result<(), String> {
    let Some(command) = &site.plan.errands.resume else { return Ok(()) };
    for tenant in site.still_suspended() {
        match errand::run(command, &tenant).await {
            Ok(_) => site.suspended(&tenant, false),
            Err(why) => return Err(format!("{tenant} could not be resumed and is still suspended: {why}")),
        }
    }
    Ok(())
}

async fn anew(site: &Site) -> Tally {
    let Some(recreate) = &site.plan.errands.recreate else {
        return Tally::not_run("it needs a tenant to be removed and made anew; --recreate takes the command");
    };
    let [_, victim] = &site.parties;
    if !site.marks.of(&victim.tenant).any(|mark| mark.origin == Origin::Planted) {
        return Tally::not_run(
            "only what the run wrote cannot have been put there again; --allow-writes lets it write",
        );
    }
    let mut tally = Tally::default();
    let remembers = |exchange: &Exchange| {
        exchange.reply().and_then(|reply| site.marks.planted(&victim.tenant, &reply.haystack()))
    };
    let mut shown = false;
    for (reading, _) in site.readings_of(&victim.tenant).take(MOST) {
        shown |= remembers(&attempt::read(&victim.caller, &reading.what).await).is_some();
    }
    tally.control(shown, &format!("{} is not shown what it wrote itself", victim.tenant));
    if !shown {
        return tally;
    }
    let doors = Doors::open(victim).await;
    let token = match errand::run(recreate, &victim.tenant).await {
        Ok(token) if !token.is_empty() && !token.contains(char::is_whitespace) => SecretString::from(token),
        Ok(_) => {
            tally.doubt("the command printed no token of the new tenant, or more than that");
            return tally;
        }
        Err(why) => {
            tally.doubt(format!("{} could not be made anew: {why}", victim.tenant));
            return tally;
        }
    };
    // Its token was not known when the evidence's names for secrets were made: what it is shown is told without requests.
    for base in victim.callers() {
        let new = base.with_secret(token.clone());
        new.begin().await;
        let mut served = new.ask("tools/list", json!({})).await.success().is_some();
        for (reading, _) in site.readings_of(&victim.tenant).take(MOST) {
            let exchange = attempt::read(&new, &reading.what).await;
            served |= exchange.success().is_some();
            if let Some(text) = remembers(&exchange) {
                let why = format!(
                    "a new tenant called {} is shown {text:?} by {}, which the one before it had written",
                    victim.tenant,
                    reading.what.name()
                );
                tally.leak(vec![site.redactor.without_token(&exchange, &token, why, &text)]);
                break;
            }
            if exchange.replied() {
                tally.held();
            }
        }
        tally.control(served, "the token that the command printed is not served");
        new.end().await;
    }
    for (door, caller) in &doors.callers {
        let old = caller.ask("tools/list", json!({})).await;
        if old.success().is_some() {
            let why = format!("who was let in as {} before it was removed is served {door}", victim.tenant);
            tally.leak(vec![attempt::shown(site, &old, why)]);
        } else if old.replied() {
            tally.held();
        }
    }
    doors.close().await;
    tally
}
