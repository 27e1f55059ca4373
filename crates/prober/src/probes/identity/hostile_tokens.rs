//! Tokens that a target must not believe.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use partywall_model::{Layer, Severity};
use serde_json::json;

use super::jwt::Jwt;
use crate::{
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "hostile-tokens",
    Layer::Identity,
    Severity::High,
    "Presents tokens that were changed, unsigned or cut, and looks whether they are believed.",
    include_str!("hostile_tokens.md"),
    &[
        Technique::new(
            "ID-02",
            "the other tenant's claims without a good signature",
            Severity::High,
            |site| Box::pin(unsigned(site)),
        ),
        Technique::new("ID-23", "a token in the address", Severity::Medium, |site| {
            Box::pin(in_address(site))
        }),
        Technique::new("ID-28", "tokens that are cut, padded or repeated", Severity::Medium, |site| {
            Box::pin(padded(site))
        }),
    ],
);

/// What is said of a target that answers anything.
const NOTHING: &str = "was answered, but with nothing that a tenant is shown";

/// The attacker's token with the victim's claims, in every form that has no signature of the issuer's.
fn forged(attacker: &Jwt, victim: &Jwt) -> Vec<(String, String)> {
    let mut claims = victim.claims.clone();
    // The attacker's token identifies itself by these; a target may remember them.
    for key in ["jti", "iat", "exp", "nbf"] {
        if let Some(value) = attacker.claims.get(key) {
            claims.insert(key.to_owned(), value.clone());
        }
    }
    let mut all = Vec::new();
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let mut header = attacker.header.clone();
        header.insert("alg".to_owned(), json!(algorithm));
        all.push((format!("alg {algorithm:?}, no signature"), Jwt::write(&header, &claims, "")));
        all.push((
            format!("alg {algorithm:?}, the old signature"),
            Jwt::write(&header, &claims, &attacker.signature),
        ));
    }
    let mut bare = attacker.header.clone();
    bare.remove("alg");
    all.push(("no alg".to_owned(), Jwt::write(&bare, &claims, "")));
    let header = &attacker.header;
    all.push(("the old signature".to_owned(), Jwt::write(header, &claims, &attacker.signature)));
    all.push(("the other's signature".to_owned(), Jwt::write(header, &claims, &victim.signature)));
    all.push(("an empty signature".to_owned(), Jwt::write(header, &claims, "")));
    let zeros = URL_SAFE_NO_PAD.encode([0_u8; 64]);
    all.push(("a signature of zeros".to_owned(), Jwt::write(header, &claims, &zeros)));
    all
}

fn readings(site: &Site) -> Result<Vec<&Reading>, Box<Tally>> {
    attempt::telling(site).map(|readings| readings.into_iter().take(1).collect())
}

async fn unsigned(site: &Site) -> Tally {
    let readings = match readings(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let parse = |party: &Party| party.caller.token().and_then(Jwt::parse);
        let (Some(own), Some(theirs)) = (parse(attacker), parse(victim)) else {
            tally.absent("the tokens are no JSON web tokens");
            continue;
        };
        for reading in &readings {
            attempt::control(&mut tally, site, attacker, reading).await;
            let whole = victim.caller.token().unwrap_or_default();
            for (how, token) in forged(&own, &theirs).into_iter().filter(|(_, token)| token != whole) {
                present(&mut tally, site, (attacker, victim), reading, &how, &token).await;
                if tally.has_leaked() {
                    return tally;
                }
            }
        }
    }
    tally
}

/// Presents a token that must not be believed: served as the victim it is a leak, and served at all too.
async fn present(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    reading: &Reading,
    how: &str,
    token: &str,
) {
    let liar = attacker.caller.with_token(Some(token.to_owned()));
    let exchange = attempt::read(&liar, &reading.what).await;
    if let Judged::Foreign(evidence) = judge(site, &attacker.tenant, reading, &exchange) {
        tally.leak(vec![evidence]);
    } else if exchange.success().is_some_and(|result| attempt::known(reading, result)) {
        let why = format!("a token with the claims of {} and {how} was believed", victim.tenant);
        tally.leak(vec![attempt::shown(site, &exchange, why)]);
    } else if exchange.success().is_some() {
        tally.doubt(format!("a token {how} {NOTHING}"));
    } else if exchange.replied() {
        tally.held();
    } else {
        tally.doubt(failed(&exchange));
    }
}

/// Tokens must not be taken from the query (authorization, access token usage): addresses stand in logs.
async fn in_address(site: &Site) -> Tally {
    let readings = match readings(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in &readings {
            attempt::control(&mut tally, site, attacker, reading).await;
            for name in ["access_token", "token", "api_key", "bearer_token"] {
                let address = |token: Option<&str>| {
                    let mut url = site.target.url.clone();
                    url.query_pairs_mut().append_pair(name, token.unwrap_or_default());
                    url
                };
                let request = || reading.what.request(&attacker.caller);
                let alone = request().without("authorization").to(address(attacker.caller.token()));
                let alone = attacker.caller.send(alone).await;
                let both = attacker.caller.send(request().to(address(victim.caller.token()))).await;
                if alone.success().is_some_and(|result| attempt::known(reading, result)) {
                    let why =
                        format!("a token in the address ({name}=) was taken, where logs and caches see it");
                    tally.leak(vec![attempt::shown(site, &alone, why)]);
                } else if alone.success().is_some() {
                    tally.doubt(format!("a token in the address ({name}=) {NOTHING}"));
                } else if !alone.replied() {
                    tally.doubt(failed(&alone));
                }
                attempt::weigh(&mut tally, site, &attacker.tenant, reading, &both, attempt::Refusal::Fine);
                if tally.has_leaked() {
                    return tally;
                }
            }
        }
    }
    tally
}

async fn padded(site: &Site) -> Tally {
    let readings = match readings(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let (Some(own), Some(theirs)) = (attacker.caller.token(), victim.caller.token()) else { continue };
        let half: String = own.chars().take(own.chars().count() / 2).collect();
        let forms = [
            ("cut in half", half),
            ("with the other token after a comma", format!("{own}, Bearer {theirs}")),
            ("with the other token after a space", format!("{own} {theirs}")),
            ("with letters after it", format!("{own}garbage")),
            ("twice", format!("{own}{own}")),
            ("with a fourth part", format!("{own}.e30")),
            ("very long", format!("{own}{}", "A".repeat(8_000))),
        ];
        for reading in &readings {
            attempt::control(&mut tally, site, attacker, reading).await;
            for (how, token) in &forms {
                let liar = attacker.caller.with_token(Some(token.clone()));
                let exchange = attempt::read(&liar, &reading.what).await;
                match judge(site, &attacker.tenant, reading, &exchange) {
                    Judged::Foreign(evidence) => tally.leak(vec![evidence]),
                    _ if exchange.success().is_some() && *how != "with the other token after a comma" => {
                        if exchange.success().is_some_and(|result| attempt::known(reading, result)) {
                            let why = format!("a token {how} was believed");
                            tally.leak(vec![attempt::shown(site, &exchange, why)]);
                        } else {
                            tally.doubt(format!("a token {how} {NOTHING}"));
                        }
                    }
                    _ if exchange.replied() => tally.held(),
                    _ => tally.doubt(failed(&exchange)),
                }
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forged_tokens_have_the_victims_claims_and_never_its_whole_token() {
        let claims = |tenant: &str| json!({"tenant": tenant, "jti": tenant}).as_object().cloned().unwrap();
        let header = json!({"alg": "ES256", "kid": "1"}).as_object().cloned().unwrap();
        let acme = Jwt::parse(&Jwt::write(&header, &claims("acme"), "c2ln")).unwrap();
        let whole = Jwt::write(&header, &claims("globex"), "b3RoZXI");
        let globex = Jwt::parse(&whole).unwrap();
        let all = forged(&acme, &globex);
        assert!(all.len() > 12);
        for (how, token) in all {
            assert_ne!(token, whole, "{how}");
            let parsed = Jwt::parse(&token).unwrap();
            assert_eq!(
                (&parsed.claims["tenant"], &parsed.claims["jti"]),
                (&json!("globex"), &json!("acme")),
                "{how}"
            );
        }
        assert!(Jwt::parse("opaque").is_none() && Jwt::parse("a.b.c").is_none());
    }
}
