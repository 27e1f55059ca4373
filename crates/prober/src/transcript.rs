//! Exchanges as a reader sees them: bounded, and without tokens.

use partywall_model::Evidence;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    canary::Hit,
    disguise::{AS_IT_IS, inner_base64},
    target::{Exchange, Request},
};

/// The most characters of one request or answer that are shown.
const MOST: usize = 4_000;

/// The least length of a part of a token that is replaced too: shorter parts stand anywhere by chance.
const PART: usize = 12;

/// The least length of what is looked for in encodings, for the same reason.
const ENCODED: usize = 8;

/// What stands for the secrets of a run.
#[derive(Default)]
pub(crate) struct Redactor {
    /// Whole ones first.
    secrets: Vec<Secret>,
}

/// A secret in one of the ways in which it can be written.
#[derive(Clone)]
struct Secret {
    /// What to write instead.
    instead: String,
    form: SecretString,
    /// Whether it stands in the middle of an encoding, which goes with it.
    encoded: bool,
}

impl Redactor {
    /// Remembers a secret under a name: as it is, as it stands in a URL, its signature, and each half of it, since some
    /// attacks send parts.
    pub(crate) fn add(&mut self, name: &str, secret: &SecretString) {
        let whole = secret.expose_secret();
        if whole.len() < 4 {
            return;
        }
        let mut forms = vec![whole.to_owned()];
        let encoded = utf8_percent_encode(whole, NON_ALPHANUMERIC).to_string();
        let query: String = url::form_urlencoded::byte_serialize(whole.as_bytes()).collect();
        let escaped = serde_json::Value::from(whole).to_string();
        forms.extend([encoded, query, escaped.trim_matches('"').to_owned()]);
        let parts = whole.rsplit_once('.').map(|(_, signature)| signature.to_owned());
        let letters: Vec<char> = whole.chars().collect();
        let (first, second) = letters.split_at(letters.len() / 2);
        let halves = [first, second].map(|half| half.iter().collect::<String>());
        forms.extend(parts.into_iter().chain(halves).filter(|part| part.len() >= PART));
        for form in &forms {
            let instead = if form == whole {
                format!("[{name}]")
            } else {
                format!("[{name}, written otherwise or a part]")
            };
            self.push(instead, form, false);
        }
        for form in forms.into_iter().filter(|form| form.len() >= ENCODED) {
            let instead = format!("[{name}, encoded]");
            self.push(instead.clone(), &form.chars().rev().collect::<String>(), false);
            self.push(instead.clone(), &hex::encode(&form), true);
            for inner in inner_base64(&form) {
                self.push(instead.clone(), &inner, true);
            }
        }
        // A part must not be replaced before the whole that it stands in.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.form.expose_secret().len()));
    }

    fn push(&mut self, instead: String, form: &str, encoded: bool) {
        if form.len() >= 4 && !self.secrets.iter().any(|known| known.form.expose_secret() == form) {
            self.secrets.push(Secret { instead, form: SecretString::from(form), encoded });
        }
    }

    /// The text without secrets, in whatever case.
    pub(crate) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let mut lower = text.to_ascii_lowercase();
        for Secret { instead, form, encoded } in &self.secrets {
            let wanted = form.expose_secret().to_ascii_lowercase();
            if lower.contains(&wanted) {
                text = replaced(&text, &lower, &wanted, (instead, *encoded));
                lower = text.to_ascii_lowercase();
            }
        }
        unsigned(&text)
    }

    /// One exchange, and what it shows.
    pub(crate) fn evidence(&self, exchange: &Exchange, why: impl Into<String>, foreign: &str) -> Evidence {
        let foreign = self.clean(foreign);
        Evidence {
            tenant: exchange.who.clone(),
            // Cut afterwards: a secret that the cut goes through would not be known any more.
            request: around(&self.clean(&request(&exchange.request)), ""),
            response: around(&self.clean(&response(exchange)), &foreign),
            why: self.clean(&why.into()),
            foreign,
        }
    }

    /// One exchange of somebody whose token was not known before.
    pub(crate) fn without_token(
        &self,
        exchange: &Exchange,
        token: &SecretString,
        why: String,
        foreign: &str,
    ) -> Evidence {
        let mut with = Self { secrets: self.secrets.clone() };
        with.add("token of the new tenant", token);
        with.evidence(exchange, why, foreign)
    }

    /// An exchange in which a foreign value was found.
    pub(crate) fn hit(&self, exchange: &Exchange, hit: &Hit) -> Evidence {
        let written = if hit.written == AS_IT_IS { String::new() } else { format!(" ({})", hit.written) };
        let why =
            format!("{} was shown {:?}, which belongs to {}{written}", exchange.who, hit.text, hit.owner);
        self.evidence(exchange, why, &hit.text)
    }
}

/// The text with a secret replaced wherever it stands. `lower` is the text in lower case, letter by letter.
fn replaced(text: &str, lower: &str, wanted: &str, (instead, encoded): (&str, bool)) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in lower.match_indices(wanted) {
        if at < done {
            continue;
        }
        let before = text.get(done..at).unwrap_or_default();
        let rest = text.get(at + wanted.len()..).unwrap_or_default();
        let (head, tail) = if encoded {
            (before.trim_end_matches(inner), rest.len() - rest.trim_start_matches(inner).len())
        } else {
            (before, 0)
        };
        out.push_str(head);
        out.push_str(instead);
        done = at + wanted.len() + tail;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
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
    text
}

fn response(exchange: &Exchange) -> String {
    match &exchange.outcome {
        Err(failure) => format!("({failure})"),
        Ok(reply) => format!("HTTP {}\n{}", reply.status, String::from_utf8_lossy(&reply.shown())),
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
    use base64::Engine as _;

    use super::*;

    #[test]
    fn tokens_are_not_shown_and_long_texts_are_cut_around_the_value() {
        let mut redactor = Redactor::default();
        redactor.add("token of acme", &"head.body.0123456789abcdef0123".to_owned().into());
        assert_eq!(redactor.clean("Bearer head.body.0123456789abcdef0123!"), "Bearer [token of acme]!");
        assert_eq!(
            redactor.clean("Bearer eyJh.eyJz.0123456789abcdefgh, eyJ"),
            "Bearer eyJh.eyJz.[signature], eyJ"
        );
        let long = format!("{}FOUND{}", "a".repeat(9_000), "b".repeat(9_000));
        let cut = around(&long, "FOUND");
        assert!(cut.contains("FOUND") && cut.chars().count() < MOST + 100, "{}", cut.len());
    }

    #[test]
    fn no_part_and_no_spelling_of_a_token_is_shown() {
        let token = "opaque+token/of acme\"with=signs9";
        let mut redactor = Redactor::default();
        redactor.add("token of acme", &token.to_owned().into());
        let spellings = [
            token.to_owned(),
            utf8_percent_encode(token, NON_ALPHANUMERIC).to_string(),
            url::form_urlencoded::byte_serialize(token.as_bytes()).collect(),
            serde_json::Value::from(token).to_string(),
            token.chars().take(token.len() / 2).collect(),
            token.to_uppercase(),
            token.chars().rev().collect(),
            hex::encode(token),
            hex::encode_upper(format!("Bearer {token}")),
            base64::engine::general_purpose::STANDARD.encode(format!("Bearer {token}")),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("x{token}")),
            base64::engine::general_purpose::STANDARD.encode(token),
        ];
        for spelling in spellings {
            let shown = redactor.clean(&format!("x {spelling} y"));
            let shown = shown.to_lowercase();
            assert!(shown.starts_with("x ") && shown.ends_with(" y"), "{shown}");
            assert!(shown.len() < 80 && shown.contains("token of acme"), "{shown}");
            assert!(!shown.contains("opaque") && !shown.contains("with"), "{shown}");
        }
        // A long answer is cut only after the token in it is known as one.
        let request = Request {
            verb: http::Method::POST,
            url: None,
            headers: Vec::new(),
            body: Vec::new(),
            id: serde_json::Value::Null,
            wait: crate::target::Wait::Answer,
            patience: std::time::Duration::ZERO,
            polite: true,
            left_out: None,
            held: None,
        };
        let body = format!("{}{token}{}", "a".repeat(MOST - 20), "b".repeat(MOST));
        let reply = crate::target::Reply::new(200, http::HeaderMap::new(), bytes::Bytes::from(body));
        let took = std::time::Duration::ZERO;
        let exchange = Exchange { who: "acme".to_owned(), request, outcome: Ok(reply), took };
        let evidence = redactor.evidence(&exchange, "", "");
        assert!(
            evidence.response.contains("left out") && !evidence.response.contains("opaque"),
            "{evidence:?}"
        );
    }
}
