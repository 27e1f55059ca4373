//! A target that is an authorization server for its clients: whom it gives codes to.

use http::Method;
use partywall_model::{Layer, Severity};
use serde_json::json;
use url::Url;

use super::forged_keys::near;
use crate::{
    oracle::reading::failed,
    probes::{
        Probe, Technique, attempt,
        metadata::{self, body},
    },
    site::Site,
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "client-consent",
    Layer::Identity,
    Severity::High,
    "Registers a client and asks for a code without anybody's consent, and for another address.",
    include_str!("consent.md"),
    &[Technique::new("ID-25", "codes without consent, or for another address", Severity::High, |site| {
        Box::pin(consent(site))
    })],
);

/// Where the registered client says that it listens; nothing does.
const OWN: &str = "http://127.0.0.1:9/partywall-callback";

struct Server {
    authorize: Url,
    register: Url,
}

async fn consent(site: &Site) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run("it registers a client; --allow-writes allows that");
    }
    let Some(nobody) = site.nobody.first() else { return Tally::default() };
    let Some(server) = server(site, nobody).await else {
        return Tally::not_run("the target's host has no authorization server that registers clients");
    };
    let mut tally = Tally::default();
    let about = json!({"client_name": "partywall-probe", "redirect_uris": [OWN],
        "token_endpoint_auth_method": "none", "grant_types": ["authorization_code"], "response_types": ["code"]});
    let request = nobody.bare(Method::POST).set("content-type", "application/json").to(server.register);
    let registered = nobody.send_plainly(request.body(about.to_string())).await;
    let id = body(&registered).and_then(|body| body.get("client_id")?.as_str().map(str::to_owned));
    let Some(id) = id else {
        return Tally::not_run(format!("no client could be registered: {}", failed(&registered)));
    };
    tally.control(true, "");
    let others = [
        "https://evil.example/callback",
        "http://127.0.0.1:9/partywall-callback/../other",
        "http://127.0.0.1:9/partywall-callback.evil.example",
        "http://evil.example@127.0.0.1:9/partywall-callback",
    ];
    for to in [OWN].into_iter().chain(others) {
        let mut url = server.authorize.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &id)
            .append_pair("redirect_uri", to)
            .append_pair("state", "partywall")
            // The challenge of a verifier that nobody needs.
            .append_pair("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
            .append_pair("code_challenge_method", "S256");
        let exchange = nobody.send_plainly(nobody.bare(Method::GET).to(url)).await;
        judge(&mut tally, site, &exchange, to);
    }
    tally.note("Consent that a user's browser has given earlier was left out; the client stays registered.");
    tally
}

fn judge(tally: &mut Tally, site: &Site, exchange: &Exchange, to: &str) {
    let Some(reply) = exchange.reply() else { return tally.doubt(failed(exchange)) };
    let location = reply.header("location").unwrap_or_default();
    let sent = (300..400).contains(&reply.status).then(|| location.parse::<Url>().ok()).flatten();
    let code = sent.as_ref().is_some_and(|url| url.query_pairs().any(|(name, _)| name == "code"));
    let there = sent.as_ref().is_some_and(|url| {
        to != OWN && to.parse::<Url>().is_ok_and(|to| to.host() == url.host() && to.path() == url.path())
    });
    if code {
        let why = "a code was given to a client that nobody had consented to";
        tally.leak(vec![attempt::shown(site, exchange, why)]);
    } else if there {
        let why = format!("the target sends to {to:?}, which the client had not registered");
        tally.leak(vec![attempt::shown(site, exchange, why)]);
    } else {
        tally.held();
    }
}

async fn server(site: &Site, nobody: &Caller) -> Option<Server> {
    metadata::find(site, nobody, |url| {
        let (authorize, register) = (url("authorization_endpoint")?, url("registration_endpoint")?);
        let ours = near(&site.target.url, &authorize) && near(&site.target.url, &register);
        ours.then_some(Server { authorize, register })
    })
    .await
}
