//! Non-interference: a tenant is shown what it is shown alone.

use partywall_model::Evidence;
use serde_json::Value;

use crate::{
    facts::Facts,
    site::{Reading, Site},
    tally::{self, doubt_here},
    target::{Exchange, Reply},
};

/// What an answer shows about who was answered.
#[derive(Debug)]
pub(crate) enum Judged {
    /// The tenant was shown what it is shown alone.
    Own,
    /// The tenant was shown what is another's.
    Foreign(Evidence),
    /// The tenant was shown something else than alone, and nothing of the other's: it may have changed by itself.
    Changed(String),
    /// There was no answer that could be judged.
    Failed(String),
}

/// The least length of a text that tells two tenants apart: shorter ones are counts and flags.
const TELLING: usize = 3;

/// Judges an answer to an attempt on something that both tenants can read, as an answer to `tenant`.
pub(crate) fn judge(site: &Site, tenant: &str, reading: &Reading, exchange: &Exchange) -> Judged {
    tally::tried(&reading.what.key());
    site.reaches(reading.what.name());
    compare(site, tenant, reading, exchange)
}

/// The same of an answer to what is no attempt: a control, or a look at what one left.
pub(crate) fn compare(site: &Site, tenant: &str, reading: &Reading, exchange: &Exchange) -> Judged {
    if let Some(evidence) = site.foreign(tenant, exchange) {
        return Judged::Foreign(evidence);
    }
    if let Some((_, why)) = site.early.doubts.iter().find(|(what, _)| *what == reading.what) {
        doubt_here(why);
    }
    let Some(result) = exchange.success() else {
        return Judged::Failed(failed(exchange));
    };
    let Some(own) = reading.alone.get(tenant) else {
        return Judged::Failed(format!("{} was never read by {tenant} alone", reading.what.name()));
    };
    let shown = Facts::of(result);
    let others = || reading.alone.iter().filter(|(owner, _)| *owner != tenant);
    let mut more = own.more_in(&shown, None);
    for (owner, alone) in others() {
        more = own.more_in(&shown, Some(alone)).or(more);
        let row =
            more.as_ref().filter(|more| more.foreign).map(|more| (more.path.as_str(), more.text.as_str()));
        if let Some((path, text)) = row.or_else(|| telling(alone, own, &shown)) {
            let why = format!(
                "{tenant} asked for {} and was shown {text:?} at {path}, as {owner} is",
                reading.what.name()
            );
            // A row is told of in other words than it was sent in.
            let foreign = if row.is_some() { "" } else { text };
            return Judged::Foreign(site.redactor.evidence(exchange, why, foreign));
        }
    }
    if own.holds_in(&shown) {
        return match more {
            None => Judged::Own,
            Some(more) => Judged::Changed(format!(
                "{} showed {tenant} {:?} at {} beside what it is shown alone",
                reading.what.name(),
                more.text,
                more.path
            )),
        };
    }
    let (path, was, now) = own.difference(&shown).unwrap_or_default();
    Judged::Changed(format!(
        "{} showed {tenant} {:?} at {path} instead of {was:?}",
        reading.what.name(),
        now.unwrap_or_default()
    ))
}

/// A text that the other is shown at a place where the tenant is shown something else.
fn telling<'a>(other: &'a Facts, own: &Facts, shown: &Facts) -> Option<(&'a str, &'a str)> {
    let shown: std::collections::BTreeMap<&str, &str> = shown.leaves().collect();
    let own: std::collections::BTreeMap<&str, &str> = own.leaves().collect();
    let own_texts: std::collections::BTreeSet<&str> = own.values().copied().collect();
    other.leaves().find(|(path, text)| {
        text.chars().count() >= TELLING
            && shown.get(path) == Some(text)
            && own.get(path).is_some_and(|mine| mine != text)
            && !own_texts.contains(text)
    })
}

/// Why an answer could not be judged.
pub(crate) fn failed(exchange: &Exchange) -> String {
    match &exchange.outcome {
        Err(failure) => format!("{}: {failure}", exchange.who),
        Ok(reply) => match exchange.error() {
            Some((code, text)) => format!("{} was refused: {code} {text}", exchange.who),
            None => match exchange.result().and_then(|result| result.get("content")) {
                Some(content) => format!("{} got an error: {}", exchange.who, short(content)),
                None => unanswered(exchange, reply),
            },
        },
    }
}

/// What came where no answer did.
fn unanswered(exchange: &Exchange, reply: &Reply) -> String {
    let (who, status) = (&exchange.who, reply.status);
    let answers = |message: &&Value| message.get("method").is_none() && message.get("id").is_some();
    let other = reply.messages.iter().find(answers).and_then(|message| message.get("id"));
    let kind = reply.header("content-type").unwrap_or("no content type");
    match (status, reply.header("location"), other) {
        (300..400, Some(to), _) => {
            let to: String = to.chars().take(160).collect();
            format!("{who} got HTTP {status}, which leads to {to}: redirects are not followed")
        }
        (_, _, Some(id)) if *id != exchange.request.id => {
            format!("{who} asked with the id {} and got an answer with {}", exchange.request.id, short(id))
        }
        (200..300, ..) => format!("{who} got HTTP {status} without an answer in it ({kind})"),
        _ => format!("{who} got HTTP {status}"),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, Method};
    use serde_json::json;

    use super::*;
    use crate::target::{Request, Wait};

    #[test]
    fn a_text_in_the_place_of_ones_own_is_foreign_and_nothing_else_is() {
        let facts = |value: Value| Facts::of(&value);
        let own = facts(json!({"who": "acme", "count": 7, "tags": ["red", "shared"]}));
        let other = facts(json!({"who": "globex", "count": 12, "tags": ["blue", "shared"], "more": "plans"}));
        let foreign = |shown: Value| telling(&other, &own, &facts(shown)).map(|(path, _)| path.to_owned());
        assert_eq!(foreign(json!({"who": "globex", "count": 7})).as_deref(), Some("/who"));
        assert_eq!(foreign(json!({"tags": ["blue", "shared"]})).as_deref(), Some("/tags/0"));
        for innocent in [
            json!({"who": "acme", "count": 7, "tags": ["red", "shared"]}),
            // Counts are equal by chance.
            json!({"who": "acme", "count": 12}),
            // What nobody is shown alone may have come by itself, and what stands elsewhere proves nothing.
            json!({"who": "initech"}),
            json!({"elsewhere": "globex"}),
            json!({"more": "plans"}),
        ] {
            assert_eq!(foreign(innocent.clone()), None, "{innocent}");
        }
    }

    #[test]
    fn what_came_instead_of_an_answer_is_said() {
        let said = |status: u16, name: &'static str, value: &'static str, body: &'static str| {
            let request = Request {
                verb: Method::POST,
                url: None,
                headers: Vec::new(),
                body: Vec::new(),
                id: json!(7),
                wait: Wait::Answer,
                patience: Duration::from_secs(1),
                polite: true,
                left_out: None,
                held: None,
            };
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let outcome = Ok(Reply::new(status, headers, Bytes::from_static(body.as_bytes())));
            failed(&Exchange { who: "acme".into(), request, outcome, took: Duration::ZERO })
        };
        let (kind, json) = ("content-type", "application/json");
        for (said, says) in [
            (said(200, kind, "text/html", "<html>"), "HTTP 200 without an answer in it (text/html)"),
            (said(307, "location", "/other", ""), "leads to /other"),
            (
                said(200, kind, json, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}"),
                "asked with the id 7 and got an answer with 1",
            ),
            (said(502, kind, "text/html", "<html>"), "got HTTP 502"),
        ] {
            assert!(said.contains(says), "{said}");
        }
    }
}
