//! Sessions of one tenant in the hands of another.

use partywall_model::{Layer, Severity};
use serde_json::json;

use crate::{
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    tally::Tally,
    target::{Caller, Exchange, Wait},
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-session",
    Layer::Routing,
    Severity::High,
    "Uses, ends, listens to and fixes sessions of another tenant.",
    include_str!("sessions.md"),
    &[
        Technique::new("SE-01", "another tenant's session id", Severity::High, |site| Box::pin(used(site)))
            .quick(),
        Technique::new("SE-02", "ending another tenant's session", Severity::High, |site| {
            Box::pin(ended(site))
        }),
        Technique::new("SE-03", "listening on another tenant's session", Severity::High, |site| {
            Box::pin(listened(site))
        }),
        Technique::new("SE-08", "no session id while others have one", Severity::High, |site| {
            Box::pin(missing(site))
        }),
        Technique::new("SE-09", "a session id that the client chose", Severity::High, |site| {
            Box::pin(fixed(site))
        }),
        Technique::new("SE-12", "the other tenant's token in a session", Severity::High, |site| {
            Box::pin(swapped(site))
        }),
        Technique::new("SE-13", "a second initialize on another tenant's session", Severity::High, |site| {
            Box::pin(again(site))
        }),
        Technique::new("SE-16", "a session id on a request without sessions", Severity::High, |site| {
            Box::pin(modern(site))
        }),
        Technique::new("SE-17", "an older revision, or none", Severity::High, |site| {
            Box::pin(downgraded(site))
        }),
        Technique::new("SE-18", "a colleague's session", Severity::Medium, |site| Box::pin(colleague(site))),
    ],
);

const NO_SESSIONS: &str = "the target gives out no session ids";
/// Of the transport whose answers come on a stream: what its sessions do not have.
const OTHERWISE: &str = "in HTTP+SSE a session is its stream: there is no such request (SE-01 posts into it)";

/// Two tenants in sessions of their own.
pub(super) struct Meeting {
    /// The attacker in his.
    pub(super) own: Caller,
    /// The owner in the one that is attacked.
    pub(super) theirs: Caller,
}

impl Meeting {
    /// Begins both sessions, or notes that the target has none.
    pub(super) async fn begin(tally: &mut Tally, attacker: &Party, victim: &Party) -> Option<Self> {
        if let (Some(own), Some(theirs)) = (&attacker.legacy, &victim.legacy) {
            let (own, theirs) = (own.afresh(), theirs.afresh());
            own.begin().await;
            theirs.begin().await;
            if own.session().is_some() && theirs.session().is_some() {
                return Some(Self { own, theirs });
            }
        }
        tally.absent(NO_SESSIONS);
        None
    }

    /// Ends both sessions.
    pub(super) async fn end(&self) {
        self.own.end().await;
        self.theirs.end().await;
    }
}

/// The attacker with another session id.
pub(super) fn thief(own: &Caller, session: Option<String>) -> Caller {
    let thief = own.afresh();
    thief.set_session(session);
    thief
}

/// A session id of the same shape that nobody has.
pub(super) fn stranger(site: &Site, session: &str) -> String {
    let twin = crate::arguments::unknown(&json!(session), &mut site.chance(session));
    twin.as_str().unwrap_or("0").to_owned()
}

/// Whether a request in a session was served; where answers come on the owner's stream, whether it was taken.
fn served(exchange: &Exchange) -> bool {
    exchange.success().is_some() || exchange.status() == 202
}

/// Whether sessions are streams; then notes that this technique has nothing to try.
fn otherwise(tally: &mut Tally, party: &Party) -> bool {
    let streams = party.legacy.as_ref().is_some_and(Caller::streams);
    if streams {
        tally.absent(OTHERWISE);
    }
    streams
}

/// Posts into the owner's session and looks whether its stream brings the answer.
async fn crossed(tally: &mut Tally, site: &Site, thief: &Caller, theirs: &Caller) {
    let id = json!(format!("posted-by-another-{}", fastrand::u64(..)));
    let posted = thief.send(thief.request_as(id.clone(), "ping", json!({}))).await;
    alive(tally, theirs).await;
    if theirs.strays().iter().any(|message| message.get("id") == Some(&id)) {
        let why = format!(
            "{} posted into the session of {}, whose stream brought the answer",
            thief.name, theirs.tenant
        );
        tally.leak(vec![attempt::shown(site, &posted, why)]);
    }
}

/// Whether `initialize` was refused, or answered with what the specification asks of an answer to it.
fn understood(exchange: &Exchange) -> bool {
    let answer = |result: &serde_json::Value| result.get("protocolVersion").is_some();
    exchange.replied() && exchange.success().is_none_or(answer)
}

/// Whether the owner is served in his session: a list without tools in it is no answer.
async fn alive(tally: &mut Tally, owner: &Caller) -> bool {
    let exchange = owner.ask("tools/list", json!({})).await;
    let listed = |result: &serde_json::Value| result.get("tools").is_some_and(serde_json::Value::is_array);
    let works = exchange.success().map_or_else(|| owner.streams() && exchange.status() == 202, listed);
    tally.control(works, &format!("the owner's own session does not work: {}", failed(&exchange)));
    works
}

async fn used(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let Meeting { own, theirs } = &meeting;
        let session = theirs.session().unwrap_or_default();
        if alive(&mut tally, theirs).await {
            let thief_of = thief(own, Some(session.clone()));
            let unknown = thief(own, Some(stranger(site, &session)));
            for reading in attempt::few(site, 2) {
                let exchange = attempt::read(&thief_of, &reading.what).await;
                if let Judged::Foreign(evidence) = judge(site, &attacker.tenant, reading, &exchange) {
                    tally.leak(vec![evidence]);
                }
            }
            for method in ["tools/list", "ping"] {
                let stolen = thief_of.ask(method, json!({})).await;
                let strange = unknown.ask(method, json!({})).await;
                accepted(&mut tally, site, &stolen, &strange, &format!("{method} was served in it"));
            }
            if theirs.streams() {
                crossed(&mut tally, site, &thief_of, theirs).await;
                for nobody in &site.nobody {
                    crossed(&mut tally, site, &thief(nobody, Some(session.clone())), theirs).await;
                }
            }
            alive(&mut tally, theirs).await;
        }
        meeting.end().await;
    }
    tally
}

/// A foreign session is found where it is served and an unknown one is not.
fn accepted(tally: &mut Tally, site: &Site, stolen: &Exchange, strange: &Exchange, what: &str) {
    if let Some(evidence) = site.foreign(&stolen.who, stolen) {
        tally.leak(vec![evidence]);
    } else if !stolen.replied() {
        tally.doubt(failed(stolen));
    } else if served(stolen) && !served(strange) {
        let why = format!(
            "{} used a session of the other tenant: {what}, and an unknown session was refused ({})",
            stolen.who,
            strange.status()
        );
        tally.leak(vec![attempt::shown(site, stolen, why)]);
    } else {
        tally.held();
    }
}

async fn ended(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        if otherwise(&mut tally, victim) {
            continue;
        }
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let Meeting { own, theirs } = &meeting;
        if alive(&mut tally, theirs).await {
            let thief = thief(own, theirs.session());
            let exchange = thief.send(thief.bare(http::Method::DELETE)).await;
            let after = theirs.ask("tools/list", json!({})).await;
            if served(&after) {
                tally.held();
            } else if after.replied() {
                let why = format!(
                    "{} ended a session of {}: it is gone for its owner",
                    attacker.tenant, victim.tenant
                );
                let gone = attempt::shown(site, &after, "the owner's next request in his session");
                tally.leak(vec![gone, attempt::shown(site, &exchange, why)]);
            } else {
                tally.doubt(failed(&after));
            }
        }
        meeting.end().await;
    }
    tally
}

async fn listened(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        if otherwise(&mut tally, victim) {
            continue;
        }
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let Meeting { own, theirs } = &meeting;
        let session = theirs.session().unwrap_or_default();
        let mut statuses = Vec::new();
        for session in [session.clone(), stranger(site, &session)] {
            let thief = thief(own, Some(session));
            let mut open = thief.open(thief.bare(http::Method::GET).set("accept", "text/event-stream"));
            let status = open.status().await;
            for reading in attempt::few(site, 2) {
                attempt::read(theirs, &reading.what).await;
            }
            statuses.push((status, open.close()));
        }
        alive(&mut tally, theirs).await;
        if let [(stolen, exchange), (strange, _)] = statuses.as_slice() {
            if let Some(evidence) = site.foreign(&attacker.tenant, exchange) {
                tally.leak(vec![evidence]);
            } else if *stolen == 200 && *strange != 200 {
                let why = format!(
                    "{} listens on a session of {}; on an unknown session it got {strange}",
                    attacker.tenant, victim.tenant
                );
                tally.leak(vec![attempt::shown(site, exchange, why)]);
            } else if *stolen == 0 {
                tally.doubt(format!("{} got no answer to GET", attacker.tenant));
            } else {
                tally.held();
            }
        }
        meeting.end().await;
    }
    tally
}

async fn missing(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        if otherwise(&mut tally, victim) {
            continue;
        }
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let Meeting { own, theirs } = &meeting;
        own.end().await;
        alive(&mut tally, theirs).await;
        let bare = thief(own, None);
        for reading in attempt::few(site, 3) {
            let exchange = attempt::read(&bare, &reading.what).await;
            attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, attempt::Refusal::Fine);
        }
        meeting.end().await;
    }
    tally
}

async fn fixed(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        if otherwise(&mut tally, victim) {
            continue;
        }
        let (Some(own), Some(theirs)) = (&attacker.legacy, &victim.legacy) else {
            tally.absent(NO_SESSIONS);
            continue;
        };
        let chosen = format!("chosen-{}-{}", attacker.tenant, fastrand::u64(..));
        let mut given = Vec::new();
        for caller in [own, theirs] {
            let params = json!({"protocolVersion": caller.era().revision(), "capabilities": {},
                "clientInfo": {"name": "partywall-probe", "version": "1"}});
            let request = caller.request("initialize", params).set("mcp-session-id", &chosen);
            let exchange = caller.send(request).await;
            let id = exchange.reply().and_then(|reply| reply.header("mcp-session-id")).map(str::to_owned);
            given.push((exchange, id));
        }
        if given.iter().all(|(_, id)| id.is_none()) {
            tally.absent("the target refuses initialize with a session id, or gives out none");
            if given.iter().all(|(exchange, _)| understood(exchange)) && own.session().is_some() {
                tally.held();
                alive(&mut tally, theirs).await;
            }
            continue;
        }
        alive(&mut tally, theirs).await;
        match given.iter().find(|(_, id)| id.as_deref() == Some(chosen.as_str())) {
            Some((exchange, _)) => {
                let why =
                    "the target took a session id that the client chose: who chooses another's can share it";
                tally.leak(vec![attempt::shown(site, exchange, why)]);
            }
            None => tally.held(),
        }
        for (caller, (_, id)) in [own, theirs].into_iter().zip(given) {
            thief(caller, id).end().await;
        }
    }
    tally
}

async fn swapped(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for base in victim.callers() {
            let theirs = base.afresh();
            theirs.begin().await;
            let swapped = theirs.disguised(&attacker.caller);
            for reading in attempt::few(site, 3) {
                // On one connection: the owner, the other, the owner.
                let first = attempt::read(&theirs, &reading.what).await;
                let exchange = attempt::read(&swapped, &reading.what).await;
                let last = attempt::read(&theirs, &reading.what).await;
                tally.control(served(&first), "the owner cannot read in a session of his own");
                attempt::weigh(
                    &mut tally,
                    site,
                    &attacker.tenant,
                    reading,
                    &exchange,
                    attempt::Refusal::Fine,
                );
                attempt::weigh(&mut tally, site, &victim.tenant, reading, &last, attempt::Refusal::Fine);
            }
            theirs.end().await;
        }
    }
    tally.absent("nothing that both can read tells the tenants apart");
    tally
}

async fn again(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let Meeting { own, theirs } = &meeting;
        if alive(&mut tally, theirs).await {
            let params = json!({"protocolVersion": own.era().revision(), "capabilities": {},
                "clientInfo": {"name": "partywall-probe-again", "version": "1"}});
            let session = theirs.session().unwrap_or_default();
            let request = own.request("initialize", params);
            let exchange = if own.streams() {
                thief(own, Some(session)).send(request).await
            } else {
                own.send(request.set("mcp-session-id", &session)).await
            };
            attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
            for reading in attempt::few(site, 2) {
                let after = attempt::read(theirs, &reading.what).await;
                attempt::weigh(&mut tally, site, &victim.tenant, reading, &after, attempt::Refusal::Wrong);
            }
        }
        meeting.end().await;
    }
    tally
}

async fn modern(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(caller) = &attacker.modern else {
            tally.absent("the target does not speak 2026-07-28");
            continue;
        };
        let theirs = victim.legacy.as_ref().map(Caller::afresh);
        if let Some(theirs) = &theirs {
            theirs.begin().await;
        }
        let session = theirs.as_ref().and_then(Caller::session).unwrap_or_else(|| "1".to_owned());
        for reading in attempt::few(site, 3) {
            attempt::control(&mut tally, site, victim, reading).await;
            let request = reading.what.request(caller).set("mcp-session-id", &session);
            let exchange = caller.send(request).await;
            attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, attempt::Refusal::Fine);
        }
        if let Some(theirs) = theirs {
            theirs.end().await;
        }
    }
    tally
}

async fn downgraded(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let session = victim.legacy.as_ref().and_then(Caller::session);
        for reading in attempt::few(site, 2) {
            attempt::control(&mut tally, site, victim, reading).await;
            for version in [None, Some("2024-11-05"), Some("2025-03-26"), Some("1"), Some("")] {
                let plain = reading.what.request(&attacker.caller).without("mcp-protocol-version");
                let plain = match version {
                    Some(version) => plain.header("mcp-protocol-version", version),
                    None => plain,
                };
                let request = match &session {
                    Some(session) => plain.set("mcp-session-id", session),
                    None => plain,
                };
                let exchange = attacker.caller.send(request).await;
                attempt::weigh(
                    &mut tally,
                    site,
                    &attacker.tenant,
                    reading,
                    &exchange,
                    attempt::Refusal::Fine,
                );
            }
        }
    }
    tally.absent("nothing that both can read tells the tenants apart");
    tally
}

async fn colleague(site: &Site) -> Tally {
    let Some(colleague) = &site.colleague else {
        return Tally::not_run("no second user of a tenant was given; --user NAME=TOKEN gives one");
    };
    let mut tally = Tally::default();
    let Some(owner) = site.party(&colleague.tenant).and_then(|party| party.legacy.as_ref()) else {
        return Tally::not_run(NO_SESSIONS);
    };
    // The colleague may be speaking the generation without sessions.
    let colleague = &colleague.speaking(owner.era().clone());
    colleague.begin().await;
    if colleague.session().is_none() {
        return Tally::not_run(NO_SESSIONS);
    }
    let theirs = owner.afresh();
    theirs.begin().await;
    let session = theirs.session().unwrap_or_default();
    if alive(&mut tally, &theirs).await {
        let stolen = thief(colleague, Some(session.clone())).ask("tools/list", json!({})).await;
        let strange = thief(colleague, Some(stranger(site, &session))).ask("tools/list", json!({})).await;
        accepted(&mut tally, site, &stolen, &strange, "tools/list was served in it");
    }
    theirs.end().await;
    colleague.end().await;
    tally
}

/// A short look at a stream that is resumed.
pub(super) async fn resumed(caller: &Caller, event: &str) -> Exchange {
    let request = caller
        .bare(http::Method::GET)
        .set("accept", "text/event-stream")
        .header("last-event-id", event)
        .wait(Wait::For(std::time::Duration::from_millis(400)));
    caller.send(request).await
}
