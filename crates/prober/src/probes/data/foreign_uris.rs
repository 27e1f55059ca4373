//! Addresses of resources and links that lead to another tenant.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use partywall_model::{Layer, Severity};
use url::Url;

use crate::{
    facts::{Facts, key},
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::{Party, Site, What},
    tally::Tally,
    target::{Caller, Exchange},
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-uris",
    Layer::Data,
    Severity::High,
    "Reads resources and links of one tenant as another, by addresses in unusual spellings.",
    include_str!("foreign_uris.md"),
    &[
        Technique::new("DA-03", "paths that lead out of the tenant's own", Severity::High, |site| {
            Box::pin(spelled(site, traversals))
        }),
        Technique::new("DA-04", "another authority, scheme or user in an address", Severity::High, |site| {
            Box::pin(spelled(site, authorities))
        }),
        Technique::new("DA-16", "links that stood in another tenant's answers", Severity::High, |site| {
            Box::pin(links(site))
        }),
    ],
);

/// The most resources of a tenant that are tried.
const URIS: usize = 3;

/// Spellings of an address of the victim's, beside an address of the attacker's own.
type Spell = fn(&str, &str) -> Vec<String>;

async fn spelled(site: &Site, spell: Spell) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let Some(mine) = attacker.surface.resources.first() else { continue };
        let theirs = victim.surface.resources.iter().filter(|uri| !attacker.surface.resources.contains(uri));
        for uri in theirs.take(URIS) {
            let own = attempt::read(&victim.caller, &What::Resource(uri.clone())).await;
            tally.control(own.success().is_some(), &format!("the owner cannot read it: {}", failed(&own)));
            if own.success().is_none() {
                continue;
            }
            let mut spellings = spell(mine, uri);
            spellings.extend(
                attacker
                    .surface
                    .templates
                    .iter()
                    .take(2)
                    .flat_map(|template| fill(template, &spell(mine, uri))),
            );
            for spelling in spellings {
                let exchange = attempt::read(&attacker.caller, &What::Resource(spelling)).await;
                judge(&mut tally, site, (attacker, victim), &own, &exchange);
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent("no tenant is offered a resource that the other is not");
    tally
}

/// What a resource holds, without its address.
fn contents(exchange: &Exchange) -> Vec<String> {
    let Some(result) = exchange.success() else { return Vec::new() };
    let facts = Facts::of(result);
    facts
        .leaves()
        .filter(|(path, text)| !["uri", "mimeType", "name"].contains(&key(path)) && text.chars().count() >= 8)
        .map(|(_, text)| text.to_owned())
        .collect()
}

fn judge(
    tally: &mut Tally,
    site: &Site,
    (attacker, victim): (&Party, &Party),
    own: &Exchange,
    exchange: &Exchange,
) {
    let (his, got) = (contents(own), contents(exchange));
    if site.foreign(&attacker.tenant, exchange).is_none() && !his.is_empty() && his == got {
        let why = format!("{} was shown what the resource of {} holds", attacker.tenant, victim.tenant);
        tally.leak(vec![attempt::shown(site, own, "the owner's"), attempt::shown(site, exchange, why)]);
    } else {
        attempt::denied(tally, site, &attacker.tenant, exchange);
    }
}

/// Scheme and what comes after `://`.
fn split(uri: &str) -> (&str, &str) {
    uri.split_once("://").unwrap_or(("", uri))
}

fn traversals(mine: &str, theirs: &str) -> Vec<String> {
    let ((scheme, own), (_, rest)) = (split(mine), split(theirs));
    let folder = own.rsplit_once('/').map_or(own, |(folder, _)| folder);
    let levels = folder.split('/').count();
    let ups = [
        "../",
        "..%2f",
        "%2e%2e/",
        "%2e%2e%2f",
        "%252e%252e%252f",
        "..\\",
        "..%5c",
        "....//",
        "..;/",
        ".%00./",
        "%c0%ae%c0%ae/",
    ];
    let mut all: Vec<String> =
        ups.iter().map(|up| format!("{scheme}://{folder}/{}{rest}", up.repeat(levels))).collect();
    all.extend(ups.iter().take(4).map(|up| format!("{mine}/{}{rest}", up.repeat(levels + 1))));
    all.extend([
        format!("{mine}%00/../{rest}"),
        format!("{scheme}://{folder}//{rest}"),
        format!("{scheme}:///{rest}"),
        format!("{scheme}://{folder}/./../{rest}"),
        format!("file:///{rest}"),
        format!("/{rest}"),
        format!("{mine}?path={rest}"),
        format!("{mine}#/../{rest}"),
    ]);
    all
}

fn authorities(mine: &str, theirs: &str) -> Vec<String> {
    let ((scheme, own), (_, rest)) = (split(mine), split(theirs));
    let (own_host, _) = own.split_once('/').unwrap_or((own, ""));
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let first: String = host.chars().take(1).map(|c| format!("%{:02x}", u32::from(c))).collect();
    let others: String = host.chars().skip(1).collect();
    vec![
        theirs.to_owned(),
        format!("{}://{rest}", scheme.to_uppercase()),
        format!("{scheme}://{}/{path}", host.to_uppercase()),
        format!("{scheme}://{first}{others}/{path}"),
        format!("{scheme}://{own_host}@{host}/{path}"),
        format!("{scheme}://{host}@{own_host}/{path}"),
        format!("{scheme}://{own_host}:x@{host}/{path}"),
        format!("{scheme}://{host}:80/{path}"),
        format!("{scheme}://{host}./{path}"),
        format!("{scheme}://{own_host},{host}/{path}"),
        format!("{scheme}://{own_host}%00{host}/{path}"),
        format!("{scheme}://{own_host}\\@{host}/{path}"),
        format!("{scheme}:{rest}"),
        format!("{scheme}:/{rest}"),
        format!("{scheme}:///{rest}"),
        format!(" {theirs}"),
        format!("{theirs}/"),
        format!("{theirs}?tenant={own_host}"),
        format!("resource://{rest}"),
        format!("file://{rest}"),
        format!("http://{rest}"),
    ]
}

/// A template with spellings in its last variable.
fn fill(template: &str, spellings: &[String]) -> Vec<String> {
    let Some((head, tail)) = template.rsplit_once('{') else { return Vec::new() };
    let Some((_, tail)) = tail.split_once('}') else { return Vec::new() };
    // Variables before the last one are left as they are when nothing is known of them.
    let head: String =
        head.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest)).collect();
    spellings.iter().take(12).map(|one| format!("{head}{}{tail}", split(one).1)).collect()
}

/// A link, and the exchange that it stood in.
struct Link {
    uri: String,
    signed: bool,
}

/// The links in what a tenant was shown that the other was not.
fn found(site: &Site, party: &Party, other: &Party) -> Vec<Link> {
    let of = |tenant: &str| {
        let mut all: Vec<String> = Vec::new();
        for exchange in site.survey.iter().filter(|exchange| exchange.who == tenant) {
            let Some(result) = exchange.success() else { continue };
            for (path, text) in Facts::of(result).leaves() {
                let named =
                    ["uri", "url", "href", "link", "download_url", "downloadUrl"].contains(&key(path));
                if named
                    && text.contains("://")
                    && text.len() < 2_000
                    && !all.iter().any(|known| known == text)
                {
                    all.push(text.to_owned());
                }
            }
        }
        all
    };
    let theirs = of(&other.tenant);
    of(&party.tenant)
        .into_iter()
        .filter(|uri| !theirs.contains(uri) && !party.surface.resources.contains(uri))
        .map(|uri| Link { signed: signed(&uri), uri })
        .take(6)
        .collect()
}

/// Whether a link carries what nobody can guess: whoever has it may open it, by design.
fn signed(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    url.query_pairs().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        value.len() >= 16
            && ["sig", "token", "key", "expires", "credential"].iter().any(|word| name.contains(word))
    })
}

async fn open(caller: &Caller, site: &Site, uri: &str) -> Option<Exchange> {
    match Url::parse(uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => {
            // Other servers are nobody's business here.
            if url.origin() != site.target.url.origin() {
                return None;
            }
            let request =
                caller.bare(Method::GET).set("accept", "*/*").to(url).patience(Duration::from_secs(3));
            Some(caller.send(request).await)
        }
        _ => Some(attempt::read(caller, &What::Resource(uri.to_owned())).await),
    }
}

/// The body of an answer that did what was asked, in the form it came or encoded.
fn body(exchange: &Exchange) -> Option<String> {
    let reply = exchange.reply()?;
    let served = (200..300).contains(&reply.status) && !reply.body.is_empty() && exchange.error().is_none();
    served.then(|| String::from_utf8(reply.body.to_vec()).unwrap_or_else(|_| STANDARD.encode(&reply.body)))
}

async fn links(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for link in found(site, victim, attacker) {
            let Some(own) = open(&victim.caller, site, &link.uri).await else {
                tally.absent("links lead to other servers, which are not attacked");
                continue;
            };
            tally.control(
                body(&own).is_some(),
                &format!("the owner cannot open his own link: {}", failed(&own)),
            );
            let Some(his) = body(&own) else { continue };
            if link.signed {
                tally.absent("links carry a signature: whoever has one may open it, by design");
                continue;
            }
            let strangers = std::iter::once((&attacker.caller, attacker.tenant.as_str()))
                .chain(site.nobody.first().map(|nobody| (nobody, "")));
            for (caller, tenant) in strangers {
                let Some(exchange) = open(caller, site, &link.uri).await else { continue };
                let same = body(&exchange).is_some_and(|body| body == his)
                    || (!contents(&own).is_empty() && contents(&own) == contents(&exchange));
                if same && site.foreign(tenant, &exchange).is_none() {
                    let who = if tenant.is_empty() { "nobody" } else { tenant };
                    let why = format!("{who} opened a link of {} and was shown the same", victim.tenant);
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else {
                    attempt::denied(&mut tally, site, tenant, &exchange);
                }
            }
        }
    }
    tally.absent("no answer has a link that only one tenant was shown");
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelled_around_the_victims() {
        let all = traversals("notes://acme/a/1", "notes://globex/2");
        assert!(all.contains(&"notes://acme/a/../../globex/2".to_owned()), "{all:?}");
        assert!(all.contains(&"notes://acme/a/1/../../../globex/2".to_owned()), "{all:?}");
        let all = authorities("notes://acme/1", "notes://globex/2");
        assert!(all.contains(&"notes://acme@globex/2".to_owned()), "{all:?}");
        assert!(all.contains(&"notes://%67lobex/2".to_owned()), "{all:?}");
        assert_eq!(fill("notes://{tenant}/n/{id}", &["x://globex/2".to_owned()]), ["notes:///n/globex/2"]);
        assert!(
            signed("https://x.example/f?X-Amz-Signature=0123456789abcdef0")
                && !signed("https://x.example/f?id=1")
        );
    }
}
