//! Exchanges as a reader sees them: bounded, and without tokens.

use partywall_model::Evidence;

use crate::{
    canary::Hit,
    target::{Exchange, Request},
};

/// The most characters of one request or answer that are shown.
const MOST: usize = 4_000;

/// What stands for the tokens of a run.
#[derive(Default)]
pub(crate) struct Redactor {
    /// What to write instead, and the token.
    tokens: Vec<(String, secrecy::SecretString)>,
}

impl Redactor {
    /// Remembers a token under its owner's name.
    pub(crate) fn add(&mut self, owner: &str, token: secrecy::SecretString) {
        use secrecy::ExposeSecret;
        if token.expose_secret().len() >= 4 {
            self.tokens.push((format!("[token of {owner}]"), token));
        }
    }

    /// The text without tokens.
    pub(crate) fn clean(&self, text: &str) -> String {
        use secrecy::ExposeSecret;
        let mut text = text.to_owned();
        for (name, token) in &self.tokens {
            let token = token.expose_secret();
            if text.contains(token) {
                text = text.replace(token, name);
            }
            // The signature alone is as good as a part of the token: no part of it is shown either.
            if let Some((_, signature)) = token.rsplit_once('.').filter(|(_, signature)| signature.len() > 16)
            {
                text = text.replace(signature, "[signature]");
            }
        }
        unsigned(&text)
    }

    /// One exchange, and what it shows.
    pub(crate) fn evidence(&self, exchange: &Exchange, why: impl Into<String>, foreign: &str) -> Evidence {
        Evidence {
            tenant: exchange.who.clone(),
            request: self.clean(&request(&exchange.request)),
            response: self.clean(&around(&response(exchange), foreign)),
            why: self.clean(&why.into()),
            foreign: self.clean(foreign),
        }
    }

    /// An exchange in which a foreign value was found.
    pub(crate) fn hit(&self, exchange: &Exchange, hit: &Hit) -> Evidence {
        let why = format!(
            "{} was shown {:?}, which belongs to {} ({})",
            exchange.who, hit.text, hit.owner, hit.written
        );
        self.evidence(exchange, why, &hit.text)
    }
}

/// The text without the signatures of JSON web tokens: a run makes good tokens of its own.
fn unsigned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("eyJ") {
        out.push_str(before);
        out.push_str("eyJ");
        let end = after
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(after.len());
        let (token, more) = after.split_at_checked(end).unwrap_or((after, ""));
        let mut parts = token.splitn(3, '.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(claims), Some(signature)) if signature.len() > 16 => {
                out.push_str(&format!("{header}.{claims}.[signature]"));
            }
            _ => out.push_str(token),
        }
        rest = more;
    }
    out.push_str(rest);
    out
}

fn request(request: &Request) -> String {
    let path = request.url.as_ref().map_or_else(
        || "(endpoint)".to_owned(),
        |url| match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        },
    );
    let mut text = format!("{} {path}\n", request.verb);
    for (name, value) in &request.headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    if !request.body.is_empty() {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(&request.body));
    }
    around(&text, "")
}

fn response(exchange: &Exchange) -> String {
    match &exchange.outcome {
        Err(failure) => format!("({failure})"),
        Ok(reply) => format!("HTTP {}\n{}", reply.status, String::from_utf8_lossy(&reply.haystack())),
    }
}

/// A part of a long text that has the value in it, with marks where it was cut.
fn around(text: &str, value: &str) -> String {
    let total = text.chars().count();
    if total <= MOST {
        return text.to_owned();
    }
    let at = if value.is_empty() { None } else { text.find(value) };
    let before = at.and_then(|at| text.get(..at)).map_or(0, |head| head.chars().count());
    let start = before.saturating_sub(MOST / 2);
    let part: String = text.chars().skip(start).take(MOST).collect();
    let head = if start > 0 { format!("[{start} characters left out] ") } else { String::new() };
    let rest = total.saturating_sub(start + MOST);
    let tail = if rest > 0 { format!(" [{rest} characters left out]") } else { String::new() };
    format!("{head}{part}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_not_shown_and_long_texts_are_cut_around_the_value() {
        let mut redactor = Redactor::default();
        redactor.add("acme", "head.body.0123456789abcdef0123".to_owned().into());
        assert_eq!(redactor.clean("Bearer head.body.0123456789abcdef0123!"), "Bearer [token of acme]!");
        assert_eq!(redactor.clean("x 0123456789abcdef0123"), "x [signature]");
        assert_eq!(
            redactor.clean("Bearer eyJh.eyJz.0123456789abcdefgh, eyJ"),
            "Bearer eyJh.eyJz.[signature], eyJ"
        );
        let long = format!("{}FOUND{}", "a".repeat(9_000), "b".repeat(9_000));
        let cut = around(&long, "FOUND");
        assert!(cut.contains("FOUND") && cut.chars().count() < MOST + 100, "{}", cut.len());
    }
}
