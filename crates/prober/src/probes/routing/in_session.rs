//! Ids in another tenant's session: what a stolen session id is good for besides asking for something of one's own.

use std::time::Duration;

use futures_util::future::join;
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
const CALLS: u64 = 3;
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
            let why = format!(
                "{} sent a request with the same id in a session of {}, whose own request got {}",
                attacker.tenant,
                victim.tenant,
                if echo::says(&exchange, &theirs.0) { "its answer" } else { "no answer" }
            );
            tally.leak(vec![
                attempt::shown(site, &theirs.1, "the other tenant's request"),
                site.redactor.evidence(&exchange, why, &theirs.0),
            ]);
            break;
        }
        meeting.end().await;
        if tally.has_leaked() || site.target.late() {
            break;
        }
    }
    tally
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
            disturb(&mut tally, site, both, &what, from).await;
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
    what: &What,
    from: &str,
) {
    for call in 0..CALLS {
        let id = json!(95_000 + call);
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
            tally.leak(vec![
                attempt::shown(site, &sent, "the cancellation"),
                attempt::shown(site, &exchange, why),
            ]);
            return;
        }
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
