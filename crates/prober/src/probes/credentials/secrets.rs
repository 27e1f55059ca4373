//! Secrets in what tenants are shown.

use partywall_model::{Layer, Severity};
use serde_json::json;

use crate::{
    oracle::reading::failed,
    probes::{Probe, Technique, attempt},
    site::Site,
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "shown-secrets",
    Layer::Credentials,
    Severity::High,
    "Looks for tokens, keys and passwords in answers and errors.",
    include_str!("secrets.md"),
    &[Technique::new("CR-07", "tokens and keys in answers and errors", Severity::High, |site| {
        Box::pin(shown(site))
    })],
);

async fn shown(site: &Site) -> Tally {
    let mut tally = Tally::default();
    let mut all: Vec<Exchange> = site.survey.clone();
    for party in &site.parties {
        all.extend(party.surface.lists.iter().map(|(_, exchange)| exchange.clone()));
        all.extend(errors(site, party).await);
    }
    for exchange in &all {
        let Some(reply) = exchange.reply() else {
            tally.doubt(failed(exchange));
            continue;
        };
        let text = String::from_utf8_lossy(&reply.body);
        if let Some(owner) = token_of(site, exchange, &text) {
            let why = format!("the token of {owner} stands in an answer to {}", exchange.who);
            tally.leak(vec![attempt::shown(site, exchange, why)]);
        } else if let Some(kind) = secret(&text) {
            let why = format!("{} was shown what looks like {kind}", exchange.who);
            tally.leak(vec![attempt::shown(site, exchange, why)]);
        } else {
            tally.held();
        }
    }
    let works = all.iter().any(|exchange| exchange.success().is_some());
    tally.control(works, "no request was answered, so nothing could be looked at");
    tally
}

/// Requests that a target may answer with more than it should.
async fn errors(site: &Site, party: &crate::site::Party) -> Vec<Exchange> {
    let caller = &party.caller;
    let mut all = vec![
        caller.ask("no/such/method", json!({})).await,
        caller.ask("tools/call", json!({"name": "no_such_tool", "arguments": {}})).await,
    ];
    for (reading, _) in site.readings_of(&party.tenant).take(4) {
        if let Some((name, arguments)) = attempt::as_tool(reading) {
            let broken: serde_json::Map<_, _> = arguments
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| (key.clone(), json!({"broken": ["'\"\\", null]})))
                .collect();
            all.push(caller.ask("tools/call", json!({"name": name, "arguments": broken})).await);
        }
    }
    all
}

/// Whose token stands in an answer. What the request's body held may be echoed.
fn token_of(site: &Site, exchange: &Exchange, text: &str) -> Option<String> {
    let body = String::from_utf8_lossy(&exchange.request.body);
    site.parties.iter().find_map(|party| {
        let token = party.caller.token()?;
        (token.len() >= 12 && text.contains(token) && !body.contains(token)).then(|| party.tenant.clone())
    })
}

/// What a word in a text looks like, if it looks like a secret. The forms are those that the issuers document.
fn secret(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
    for word in words.map(|word| word.trim_end_matches('.')).filter(|word| word.len() >= 20) {
        let known = [
            ("ghp_", "a GitHub token"),
            ("github_pat_", "a GitHub token"),
            ("gho_", "a GitHub token"),
            ("glpat-", "a GitLab token"),
            ("sk-ant-", "an Anthropic key"),
            ("sk-proj-", "an OpenAI key"),
            ("sk_live_", "a Stripe key"),
            ("rk_live_", "a Stripe key"),
            ("xoxb-", "a Slack token"),
            ("xoxp-", "a Slack token"),
            ("AIza", "a Google key"),
            ("npm_", "an npm token"),
            ("sbp_", "a Supabase token"),
        ];
        if let Some((_, kind)) = known.iter().find(|(start, _)| word.starts_with(start)) {
            return Some(kind);
        }
        let aws = word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
        if aws && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()) {
            return Some("an AWS access key");
        }
        if word.starts_with("eyJ") && word.split('.').count() == 3 && word.len() > 60 {
            return Some("a JSON web token");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_other_long_words() {
        assert_eq!(secret("key: ghp_0123456789abcdefghij"), Some("a GitHub token"));
        assert_eq!(secret("id AKIAIOSFODNN7EXAMPLE."), Some("an AWS access key"));
        assert_eq!(secret("-----BEGIN RSA PRIVATE KEY-----\nMII"), Some("a private key"));
        for text in
            ["a sentence of ordinary words", "AKIA-is-a-prefix-of-something", "eyJ0.short", "sk_live_short"]
        {
            assert_eq!(secret(text), None, "{text}");
        }
    }
}
