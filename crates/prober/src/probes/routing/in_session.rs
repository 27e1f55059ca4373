//! Ids in another tenant's session: what a stolen session id is good for besides asking for something of one's own.

use std::time::Duration;

use futures_util::future::join;
use partywall_model::Evidence;
use serde_json::json;

use super::{
    asking::candidates,
    echo::{self, Echo},
    same_ids::{LOST, is_lost},
    sessions::{Meeting, thief},
};
use crate::{
    probes::attempt,
    site::{Party, Site, What},
    tally::Tally,
    target::{Caller, Exchange},
};

/// How many calls with equal ids are made in one session.
const ROUNDS: u64 = 12;
/// How often a call is cancelled.
const CALLS: usize = 3;
/// A call that takes this long can be cancelled in the middle.
const SLOW: Duration = Duration::from_millis(60);
/// A call that takes longer is none to wait for.
const TOO_SLOW: Duration = Duration::from_secs(3);

/// The attacker in the victim's session, if the target lets him in, and the owner.
async fn inside(tally: &mut Tally, attacker: &Party, victim: &Party) -> Option<(Meeting, Caller)> {
    let meeting = Meeting::begin(tally, attacker, victim).await?;
    if meeting.theirs.streams() {
        meeting.end().await;
        return None;
    }
    let within = thief(&meeting.own, meeting.theirs.session());
    let owner = meeting.theirs.ask("ping", json!({})).await;
    tally.control(owner.success().is_some(), "the owner of a session gets no answer in it");
    if within.ask("ping", json!({})).await.success().is_none() {
        tally.held();
        meeting.end().await;
        return None;
    }
    Some((meeting, within))
}

/// Equal ids in one session: its owner must get its answers, and its own.
pub(super) async fn equal(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let Some(echo) = Echo::find(site).await else { return tally };
    for (attacker, victim) in site.directions() {
        let Some((meeting, within)) = inside(&mut tally, attacker, victim).await else { continue };
        let mut lost = 0;
        for round in 0..ROUNDS {
            let id = 70_000 + round;
            let (mine, theirs) = both(&meeting.theirs, &within, &echo, (id, id)).await;
            let (word, exchange) = mine;
            if echo::says(&exchange, &word) && !echo::says(&exchange, &theirs.0) {
                tally.held();
                tally.control(true, "");
                continue;
            }
            // With ids of their own, the two must get on.
            let (other, _) = both(&meeting.theirs, &within, &echo, (id + 1_000, id + 2_000)).await;
            if !echo::says(&other.1, &other.0) {
                tally.doubt("the owner of a session gets no answer in it, whatever the ids are");
                break;
            }
            // What was only late once may have been late by itself.
            lost += 1;
            if lost < 2 && !echo::says(&exchange, &theirs.0) && !echo::says(&theirs.1, &word) {
                continue;
            }
            lost = 0;
            tally.leak(crossed(site, (attacker, victim), (&word, &exchange), (&theirs.0, &theirs.1)));
            break;
        }
        if lost > 0 {
            tally.doubt("the owner of a session got no answer to one of several equal ids");
        }
        meeting.end().await;
        if tally.has_leaked() || site.target.late() {
            break;
        }
    }
    tally
}

/// What two requests with one id came to, each with its word.
fn crossed(
    site: &Site,
    (attacker, victim): (&Party, &Party),
    (word, mine): (&str, &Exchange),
    (other, theirs): (&str, &Exchange),
) -> Vec<Evidence> {
    let (thief, owner) = (&attacker.tenant, &victim.tenant);
    if echo::says(theirs, word) {
        let why =
            format!("{thief} was sent the answer to a request of {owner}, with the same id in its session");
        let own = attempt::shown(site, mine, format!("the request of {owner}"));
        return vec![own, site.redactor.evidence(theirs, why, word)];
    }
    let got = if echo::says(mine, other) { "its answer" } else { "no answer" };
    let why = format!(
        "{thief} sent a request with the same id in a session of {owner}, whose own request got {got}"
    );
    vec![
        attempt::shown(site, theirs, format!("the request of {thief}")),
        site.redactor.evidence(mine, why, if got == "its answer" { other } else { "" }),
    ]
}

/// A request of the owner's and one of the attacker's, at once, each with a word and its exchange.
async fn both(
    owner: &Caller,
    within: &Caller,
    echo: &Echo,
    ids: (u64, u64),
) -> ((String, Exchange), (String, Exchange)) {
    let send = |caller, id: u64| async move {
        let caller: &Caller = caller;
        let word = echo::word();
        let (method, params) = echo.message(&word);
        let request = caller.request_as(json!(id), method, params).once().patience(LOST);
        (word, caller.send(request).await)
    };
    join(send(owner, ids.0), send(within, ids.1)).await
}

/// Calls that take some time, cancelled by their ids from a session of the attacker's own and from within the owner's.
pub(super) async fn cancelled(site: &Site) -> Tally {
    let mut tally = Tally::default();
    // A server may keep the cancellation of a request that its sender has not sent yet: no id comes a second time.
    let mut ids = 95_000_u64..;
    for (attacker, victim) in site.directions() {
        let Some(meeting) = Meeting::begin(&mut tally, attacker, victim).await else { continue };
        let Some(what) = slow(site, victim, &meeting.theirs).await else {
            tally.absent("no call that may be made takes long enough to be cancelled in the middle");
            meeting.end().await;
            continue;
        };
        let mut canceller = vec![("a session of its own", thief(&meeting.own, meeting.own.session()))];
        let within = thief(&meeting.own, meeting.theirs.session());
        if !within.streams() && within.ask("ping", json!({})).await.success().is_some() {
            canceller.push(("within that session", within));
        }
        for (from, attacking) in &canceller {
            let both = (attacking, &meeting.theirs);
            disturb(&mut tally, site, both, (&what, from), &mut ids).await;
        }
        meeting.end().await;
        if tally.has_leaked() || site.target.late() {
            break;
        }
    }
    tally
}

async fn disturb(
    tally: &mut Tally,
    site: &Site,
    (attacking, owner): (&Caller, &Caller),
    (what, from): (&What, &str),
    ids: &mut impl Iterator<Item = u64>,
) {
    let mut ended = Vec::new();
    for id in ids.take(CALLS) {
        let id = json!(id);
        let undisturbed = owner.send(what.request(owner).patience(LOST)).await;
        let (method, params) = what.message();
        let asked = owner.send(owner.request_as(id.clone(), method, params).once().patience(LOST));
        let cancel = async {
            tokio::time::sleep(SLOW / 3).await;
            let params = json!({"requestId": id, "reason": "partywall"});
            attacking.send(attacking.notification("notifications/cancelled", params)).await
        };
        let (exchange, sent) = join(asked, cancel).await;
        let again = owner.send(what.request(owner).patience(LOST)).await;
        tally.control(undisturbed.success().is_some(), "a slow call fails undisturbed too");
        if exchange.success().is_some() {
            tally.held();
        } else if undisturbed.success().is_none() || again.success().is_none() {
            tally.doubt(format!("{} fails now and then without being cancelled", what.name()));
        } else {
            let how = if is_lost(&exchange) { "never answered" } else { "ended" };
            let why = format!(
                "{} cancelled a request of {} by its id, from {from}: it was {how}",
                attacking.tenant, owner.tenant
            );
            ended.push(attempt::shown(site, &sent, "the cancellation"));
            ended.push(attempt::shown(site, &exchange, why));
            // One call can end by itself on a busy machine; who cancels ends them again and again.
            if ended.len() > 2 {
                tally.leak(ended);
                return;
            }
        }
    }
    if !ended.is_empty() {
        tally.doubt(format!(
            "one call of {} ended when it was cancelled from {from}, and no other did",
            what.name()
        ));
    }
}

/// A call of the party's that takes a while and succeeds.
async fn slow(site: &Site, party: &Party, caller: &Caller) -> Option<What> {
    const WANTED: &str = "a slow call";
    if let Some(before) = site.found.before(caller, WANTED) {
        return before;
    }
    let mut found = None;
    for what in candidates(site, party) {
        if site.target.late() {
            break;
        }
        let exchange = caller.send(what.request(caller).patience(TOO_SLOW)).await;
        if exchange.success().is_some() && exchange.took > SLOW {
            found = Some(what);
            break;
        }
    }
    site.found.remember(caller, WANTED, found.clone());
    found
}
