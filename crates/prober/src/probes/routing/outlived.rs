//! A token that was revoked: whether what it began goes on.

use std::time::Duration;

use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::json;
use url::{Url, form_urlencoded};

use super::tasks::begin_as;
use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt, metadata},
    site::Site,
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "outlived-token",
    Layer::Routing,
    Severity::High,
    "Revokes a second user's token and asks for what it had begun.",
    include_str!("outlived.md"),
    &[Technique::new(
        "TK-09",
        "a task and a session after their token was revoked",
        Severity::High,
        |site| Box::pin(outlived(site)),
    )],
);

/// How long a target may take to hear of it.
const WINDOW: Duration = Duration::from_secs(2);

async fn outlived(site: &Site) -> Tally {
    let Some(colleague) = &site.colleague else {
        return Tally::not_run("it revokes a token that nothing else needs; --user NAME=TOKEN gives one");
    };
    if !site.plan.allow_writes {
        return Tally::not_run("it revokes the token of --user for good; --allow-writes allows that");
    }
    let (Some(nobody), Some(party)) = (site.nobody.first(), site.party(&colleague.tenant)) else {
        return Tally::default();
    };
    // The token goes to the target's own host and to no other.
    let here = |url: &Url| url.host() == site.target.url.host() && url.scheme() == site.target.url.scheme();
    let revoke = metadata::find(site, nobody, |url| url("revocation_endpoint").filter(here)).await;
    let Some(revoke) = revoke else {
        return Tally::not_run("the target's host names no address to revoke tokens at (RFC 7009)");
    };
    let mut tally = Tally::default();
    let task = begin_as(site, party, colleague).await;
    let lasting = colleague.afresh();
    lasting.begin().await;
    let before = lasting.ask("tools/list", json!({})).await;
    tally.control(
        before.success().is_some(),
        &format!("the second user's token is not served: {}", failed(&before)),
    );
    if before.success().is_none() {
        return tally;
    }
    let revoked = nobody.send_plainly(revocation(nobody, revoke, colleague)).await;
    if revoked.reply().is_none_or(|reply| reply.status != 200) {
        return Tally::not_run(format!("the token could not be revoked: {}", failed(&revoked)));
    }
    let list = || lasting.ask("tools/list", json!({}));
    judge(&mut tally, site, &revoked, "is still served in its session", list).await;
    let anew = || async {
        let caller = colleague.afresh();
        caller.begin().await;
        caller.ask("tools/list", json!({})).await
    };
    judge(&mut tally, site, &revoked, "still begins something new", anew).await;
    if let Some((owner, id)) = &task {
        let get = || owner.ask("tasks/get", json!({"taskId": id}));
        judge(&mut tally, site, &revoked, "still gets the task that it began", get).await;
    } else {
        tally.note("No tool could be called as a task.");
    }
    attempt::intact(&mut tally, site, party).await;
    tally
}

fn revocation(nobody: &Caller, to: Url, whose: &Caller) -> crate::target::Request {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("token", whose.token().unwrap_or_default())
        .append_pair("token_type_hint", "access_token")
        .append_pair("client_id", "partywall-probe")
        .finish();
    nobody.bare(Method::POST).set("content-type", "application/x-www-form-urlencoded").to(to).body(form)
}

/// What a revoked token is served at once, and after a while too, leaks.
async fn judge<F: Future<Output = Exchange>>(
    tally: &mut Tally,
    site: &Site,
    revoked: &Exchange,
    what: &str,
    ask: impl Fn() -> F,
) {
    let first = ask().await;
    if first.success().is_none() {
        return if first.replied() { tally.held() } else { tally.doubt(failed(&first)) };
    }
    tokio::time::sleep(WINDOW.min(site.target.left())).await;
    let second = ask().await;
    if second.success().is_some() {
        let why = format!("{} seconds after its token was revoked, {} {what}", WINDOW.as_secs(), second.who);
        tally.leak(vec![
            attempt::shown(site, revoked, "the token is revoked"),
            attempt::shown(site, &second, why),
        ]);
    } else if second.replied() {
        tally.held();
        tally.note("A revoked token was served for a moment.");
    } else {
        tally.doubt(failed(&second));
    }
}
