//! Tokens that the issuer's key signed and that are still not this target's, or name no tenant, or more than one.

use std::time::{SystemTime, UNIX_EPOCH};

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use super::jwt::{Jwt, Mint, tenant_claim};
use crate::{
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Reading, Site},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "minted-tokens",
    Layer::Identity,
    Severity::High,
    "Presents tokens with a good signature and one wrong claim, made with the issuer's key.",
    include_str!("minted_tokens.md"),
    &[
        Technique::new("ID-06", "tokens for another audience", Severity::High, |site| {
            Box::pin(attack(site, audiences))
        }),
        Technique::new("ID-07", "tokens of another issuer", Severity::High, |site| {
            Box::pin(attack(site, issuers))
        }),
        Technique::new("ID-08", "another tenant's subject", Severity::High, |site| {
            Box::pin(attack(site, subjects))
        }),
        Technique::new("ID-09", "tokens that have expired or are not valid yet", Severity::High, |site| {
            Box::pin(attack(site, times))
        }),
        Technique::new("ID-11", "a tenant that is no text", Severity::High, |site| {
            Box::pin(attack(site, kinds))
        }),
        Technique::new("ID-12", "two tenants in one token", Severity::High, |site| {
            Box::pin(attack(site, several))
        }),
        Technique::new("ID-13", "a token without a tenant", Severity::High, |site| {
            Box::pin(attack(site, missing))
        }),
        Technique::new("ID-14", "tenants that mean nothing or all", Severity::High, |site| {
            Box::pin(attack(site, blanks))
        }),
        Technique::new("ID-15", "names that look like another tenant's", Severity::High, |site| {
            Box::pin(attack(site, variants))
        }),
        Technique::new("ID-16", "names with separators in them", Severity::High, |site| {
            Box::pin(attack(site, separators))
        }),
        Technique::new("ID-26", "tokens that are for something else", Severity::High, |site| {
            Box::pin(attack(site, uses))
        }),
    ],
);

/// What the target may do with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// It must refuse.
    Refuse,
    /// It may serve, as anybody but another tenant.
    Serve,
}

/// A way in which a token is wrong, its claims as they stand in it, and what may come of it.
type Wrong = (String, String, May);

/// What a token is made from.
struct Claims<'a> {
    own: &'a Map<String, Value>,
    theirs: &'a Map<String, Value>,
    /// The claim that names the tenant.
    tenant: String,
}

impl Claims<'_> {
    /// The own claims with another value for one.
    fn with(&self, name: &str, value: Value) -> String {
        let mut claims = self.own.clone();
        claims.insert(name.to_owned(), value);
        Value::Object(claims).to_string()
    }

    fn without(&self, name: &str) -> String {
        let mut claims = self.own.clone();
        claims.remove(name);
        Value::Object(claims).to_string()
    }

    /// The own claims without the tenant's, and this text instead.
    fn tenants(&self, text: &str) -> String {
        let rest = self.without(&self.tenant);
        match rest.strip_suffix('}') {
            Some("{") => format!("{{{text}}}"),
            Some(rest) => format!("{rest},{text}}}"),
            None => rest,
        }
    }

    fn refused(&self, name: &str, values: Vec<Value>) -> Vec<Wrong> {
        let say = |value: &Value| format!("the {name} {value}");
        values.into_iter().map(|value| (say(&value), self.with(name, value), May::Refuse)).collect()
    }

    fn victim(&self) -> &str {
        self.theirs.get(&self.tenant).and_then(Value::as_str).unwrap_or_default()
    }

    fn named(&self, names: Vec<String>) -> Vec<Wrong> {
        let wrong =
            |name: String| (format!("the tenant {name:?}"), self.with(&self.tenant, json!(name)), May::Serve);
        names.into_iter().filter(|name| name != self.victim()).map(wrong).collect()
    }
}

fn audiences(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let Some(own) = claims.own.get("aud") else {
        return Err("the tokens name no audience, so the target cannot compare it".to_owned());
    };
    let first = own.as_str().or_else(|| own.get(0).and_then(Value::as_str)).unwrap_or_default();
    let mut wrong = claims.refused(
        "aud",
        vec![
            json!("https://other.example/mcp"),
            json!(["https://other.example/mcp"]),
            json!(format!("{first}.evil.example")),
            json!(format!("{first}/other")),
            json!(""),
            json!([]),
            json!(first.get(..first.len() / 2).unwrap_or_default()),
        ],
    );
    wrong.push(("no aud".to_owned(), claims.without("aud"), May::Refuse));
    Ok(wrong)
}

fn issuers(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let Some(own) = claims.own.get("iss").and_then(Value::as_str) else {
        return Err("the tokens name no issuer".to_owned());
    };
    let mut wrong = claims.refused(
        "iss",
        vec![
            json!("https://other.example/"),
            json!(format!("{}.evil.example", own.trim_end_matches('/'))),
            json!([own]),
            json!(""),
        ],
    );
    wrong.push(("no iss".to_owned(), claims.without("iss"), May::Refuse));
    Ok(wrong)
}

/// The subject names a user within an issuer and a tenant; alone it is nobody.
fn subjects(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    if claims.tenant == "sub" {
        return Err("the tokens name the tenant by their subject".to_owned());
    }
    let Some(theirs) = claims.theirs.get("sub") else {
        return Err("the tokens name no subject".to_owned());
    };
    Ok(vec![("the other tenant's subject".to_owned(), claims.with("sub", theirs.clone()), May::Serve)])
}

fn times(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let day = 86_400;
    // A day is more than any skew that a target may allow.
    let mut wrong = claims.refused(
        "exp",
        vec![json!(now.saturating_sub(day)), json!(0), json!(-1), json!(now.saturating_sub(day).to_string())],
    );
    wrong.extend(claims.refused("nbf", vec![json!(now + day)]));
    Ok(wrong)
}

fn kinds(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let victim = claims.victim();
    let mut wrong = claims.refused(
        &claims.tenant,
        vec![json!(7), json!(true), json!({"id": victim}), Value::Null, json!(1.5), json!({victim: true})],
    );
    let nested = json!(format!("{{\"id\":\"{victim}\"}}"));
    wrong.push(("JSON as its tenant".to_owned(), claims.with(&claims.tenant, nested), May::Serve));
    Ok(wrong)
}

fn several(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let name = &claims.tenant;
    let own = claims.own.get(name).cloned().unwrap_or_default();
    let theirs = json!(claims.victim());
    let mut wrong = claims.refused(name, vec![json!([own, theirs]), json!([theirs, own]), json!([theirs])]);
    for (first, last) in [(&own, &theirs), (&theirs, &own)] {
        let text = format!("\"{name}\":{first},\"{name}\":{last}");
        wrong.push((format!("its tenant twice, {last} last"), claims.tenants(&text), May::Refuse));
    }
    for other in ["tenant", "tenant_id", "tid", "org_id", "organization", "account_id", "workspace"] {
        if other != name && !claims.own.contains_key(other) {
            wrong.push((
                format!("the other tenant in {other} too"),
                claims.with(other, theirs.clone()),
                May::Serve,
            ));
        }
    }
    Ok(wrong)
}

fn missing(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    Ok(vec![("no tenant".to_owned(), claims.without(&claims.tenant), May::Refuse)])
}

fn blanks(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let mut wrong = claims.refused(&claims.tenant, vec![json!(""), json!(" "), json!("\t")]);
    let words =
        ["null", "undefined", "*", "%", "_", "default", "0", "None", ".", "public", "admin", "system"];
    wrong.extend(claims.named(words.map(str::to_owned).to_vec()));
    Ok(wrong)
}

fn variants(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let name = claims.victim();
    let wide = |c: char| match u32::from(c) {
        code @ 0x21..=0x7e => char::from_u32(code + 0xfee0).unwrap_or(c),
        _ => c,
    };
    Ok(claims.named(vec![
        name.to_uppercase(),
        name.to_lowercase(),
        name.chars().map(wide).collect(),
        format!("{name} "),
        format!(" {name}"),
        format!("{name}."),
        format!("{name}\0"),
        format!("{name}\0x"),
        format!("{name}\u{200b}"),
        format!("\u{feff}{name}"),
        name.replace('a', "\u{430}").replace('o', "\u{43e}"),
        format!("{name}\n"),
    ]))
}

fn separators(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    let own = claims.own.get(&claims.tenant).and_then(Value::as_str).unwrap_or_default();
    let name = claims.victim();
    Ok(claims.named(vec![
        format!("{own},{name}"),
        format!("{own}|{name}"),
        format!("{own}:{name}"),
        format!("{name}:"),
        format!("{name}:1"),
        format!("{name}/"),
        format!("{own}/../{name}"),
        format!("../{name}"),
        format!("./{name}"),
        format!("{name}%00"),
        format!("{name}' OR '1'='1"),
        format!("{name}\" OR \"\"=\""),
        format!("{name}%"),
        format!("{name}*"),
    ]))
}

/// What issuers sign with the same key and no server may take for an access token: who it is for tells them apart.
fn uses(claims: &Claims<'_>) -> Result<Vec<Wrong>, String> {
    if !claims.own.contains_key("aud") {
        return Err("the tokens name no audience, so that nothing says what they are for".to_owned());
    }
    let issuer = claims.own.get("iss").cloned().unwrap_or_else(|| json!("https://issuer.example/"));
    let made = |audience: Value, more: Value| {
        let mut all = claims.own.clone();
        all.insert("aud".to_owned(), audience);
        all.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(all).to_string()
    };
    let client = json!("partywall-probe-client");
    let identity = json!({"typ": "ID", "token_use": "id", "azp": client, "nonce": "n-1", "at_hash": "77QmUPtjPfzWtF2AnpK9RQ"});
    let refresh = json!({"typ": "Refresh", "token_use": "refresh", "azp": client});
    let logout = json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}, "sid": "s-1"});
    Ok(vec![
        ("what makes it an ID token of a client".to_owned(), made(client.clone(), identity), May::Refuse),
        ("what makes it a refresh token".to_owned(), made(issuer, refresh), May::Refuse),
        ("what makes it a logout token".to_owned(), made(client, logout), May::Refuse),
    ])
}

/// Presents every wrong token that `make` makes, both ways round.
async fn attack(site: &Site, make: fn(&Claims<'_>) -> Result<Vec<Wrong>, String>) -> Tally {
    let reading = match attempt::telling(site) {
        Ok(readings) => readings.into_iter().next(),
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    let Some(reading) = reading else { return tally };
    for (attacker, victim) in site.directions() {
        let mint = match Mint::new(site, attacker) {
            Ok(mint) => mint,
            Err(why) => {
                tally.absent(why);
                continue;
            }
        };
        let theirs = victim.caller.token().and_then(Jwt::parse);
        let Some((theirs, tenant)) = theirs.and_then(|theirs| {
            let claim = tenant_claim(&mint.own, &theirs)?;
            Some((theirs, claim))
        }) else {
            tally.absent("no claim of the tokens names the tenant");
            continue;
        };
        let claims = Claims { own: &mint.own.claims, theirs: &theirs.claims, tenant };
        let wrong = match make(&claims) {
            Ok(wrong) => wrong,
            Err(why) => {
                tally.absent(why);
                continue;
            }
        };
        if !believed(&mut tally, site, attacker, &mint, reading).await {
            continue;
        }
        for (how, claims, may) in wrong {
            let Some(token) = mint.sign(&mint.own.header, &claims) else { continue };
            present(&mut tally, site, attacker, reading, (&how, &token, may)).await;
            if tally.has_leaked() {
                return tally;
            }
        }
        attempt::control(&mut tally, site, victim, reading).await;
    }
    tally
}

/// The control: a token with the tenant's own claims, signed anew, is served as the tenant.
async fn believed(tally: &mut Tally, site: &Site, party: &Party, mint: &Mint, reading: &Reading) -> bool {
    let claims = Value::Object(mint.own.claims.clone()).to_string();
    let Some(token) = mint.sign(&mint.own.header, &claims) else {
        tally.control(false, "the key of --issuer-key did not sign");
        return false;
    };
    let caller = party.caller.with_token(Some(token));
    let exchange = attempt::read(&caller, &reading.what).await;
    let own = matches!(judge(site, &party.tenant, reading, &exchange), Judged::Own);
    let why = "a token with the tenant's own claims, signed with the key of --issuer-key, is not believed: is it the issuer's?";
    tally.control(own, why);
    own
}

async fn present(
    tally: &mut Tally,
    site: &Site,
    attacker: &Party,
    reading: &Reading,
    (how, token, may): (&str, &str, May),
) {
    let liar = attacker.caller.with_token(Some(token.to_owned()));
    let exchange = attempt::read(&liar, &reading.what).await;
    if let Judged::Foreign(evidence) = judge(site, &attacker.tenant, reading, &exchange) {
        tally.leak(vec![evidence]);
    } else if may == May::Refuse && exchange.success().is_some() {
        tally.leak(vec![attempt::shown(site, &exchange, format!("a token with {how} was believed"))]);
    } else if exchange.replied() {
        tally.held();
    } else {
        tally.doubt(failed(&exchange));
    }
}
