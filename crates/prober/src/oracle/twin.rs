//! Existence: what is another's must look like what is not there.

use serde_json::Value;

use crate::target::{Exchange, is_stream};

/// Headers that differ between any two answers.
const VOLATILE: [&str; 8] = [
    "date",
    "content-length",
    "x-request-id",
    "request-id",
    "traceparent",
    "x-trace-id",
    "retry-after",
    "age",
];

/// What differs between the answers to a foreign id and to an unknown one, besides the ids themselves.
pub(crate) fn difference(foreign: &Exchange, id: &Value, unknown: &Exchange, twin: &Value) -> Option<String> {
    let (Ok(one), Ok(other)) = (&foreign.outcome, &unknown.outcome) else {
        return match (&foreign.outcome, &unknown.outcome) {
            (Err(one), Err(other)) if one == other => None,
            (one, other) => Some(format!("{} against {}", told(one.is_ok()), told(other.is_ok()))),
        };
    };
    if one.status != other.status {
        return Some(format!(
            "status {} for the foreign id, {} for an unknown one",
            one.status, other.status
        ));
    }
    let codes = (foreign.error().map(|(code, _)| code), unknown.error().map(|(code, _)| code));
    if codes.0 != codes.1 {
        return Some(format!("error {:?} for the foreign id, {:?} for an unknown one", codes.0, codes.1));
    }
    let (body, twin_body) = (masked(&one.body, foreign, id), masked(&other.body, unknown, twin));
    if body != twin_body {
        let (a, b) = differing(&body, &twin_body);
        return Some(format!("the text {a:?} for the foreign id, {b:?} for an unknown one"));
    }
    let names = |headers: &http::HeaderMap| {
        let mut names: Vec<String> = headers
            .keys()
            .map(|name| name.as_str().to_owned())
            .filter(|name| !VOLATILE.contains(&name.as_str()))
            .collect();
        names.sort();
        names
    };
    let (headers, twin_headers) = (names(&one.headers), names(&other.headers));
    (headers != twin_headers)
        .then(|| format!("the headers {headers:?} for the foreign id, {twin_headers:?} for an unknown one"))
}

const fn told(replied: bool) -> &'static str {
    if replied { "an answer" } else { "no answer" }
}

/// A body without the id that was asked for, the message's id, and numbers that differ from answer to answer.
fn masked(body: &[u8], exchange: &Exchange, id: &Value) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    if exchange.reply().is_some_and(|reply| is_stream(&reply.headers)) {
        // Ids of events are made up for each.
        let lines = text.lines().filter(|line| !line.starts_with("id:") && !line.starts_with("retry:"));
        text = lines.collect::<Vec<_>>().join("\n");
    }
    let message = format!("\"id\":{}", exchange.request.id);
    text =
        text.replace(&message, "\"id\":N").replace(&format!("\"id\": {}", exchange.request.id), "\"id\":N");
    for id in ids(id) {
        text = without(&text, &id);
    }
    long_numbers(&text)
}

/// The text with the id masked, but not where it is a part of another word or number: a short one stands anywhere.
fn without(text: &str, id: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(id).filter(|_| !id.is_empty()) {
        let (before, found) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let after = found.get(id.len()..).unwrap_or_default();
        out.push_str(before);
        let joins = |one: Option<char>, other: Option<char>| match (one, other) {
            (Some(one), Some(other)) => {
                (one.is_numeric() && other.is_numeric()) || (one.is_alphabetic() && other.is_alphabetic())
            }
            _ => false,
        };
        let part = joins(out.chars().next_back(), id.chars().next())
            || joins(id.chars().next_back(), after.chars().next());
        out.push_str(if part { id } else { "ID" });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn ids(id: &Value) -> Vec<String> {
    match id {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(ids).collect(),
        other => vec![other.to_string()],
    }
}

/// Replaces runs of six and more digits or hexadecimal letters with digits in them: request numbers, times, addresses.
fn long_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        if run.len() >= 6 && digits >= 3 {
            out.push('#');
        } else {
            out.push_str(run);
        }
        run.clear();
    };
    for letter in text.chars() {
        if letter.is_ascii_hexdigit() {
            run.push(letter);
        } else {
            flush(&mut run, &mut out);
            out.push(letter);
        }
    }
    flush(&mut run, &mut out);
    out
}

/// The parts of two texts from where they begin to differ.
fn differing(one: &str, other: &str) -> (String, String) {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(20);
    let part = |text: &str| text.chars().skip(from).take(120).collect();
    (part(one), part(other))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use serde_json::json;

    use super::*;
    use crate::target::{Reply, Request, Wait};

    fn exchange(id: u64, status: u16, body: &str) -> Exchange {
        let request = Request {
            verb: Method::POST,
            url: None,
            headers: Vec::new(),
            body: Vec::new(),
            id: json!(id),
            wait: Wait::Answer,
            patience: Duration::from_secs(1),
            polite: true,
            left_out: None,
            held: None,
        };
        let reply = Reply::new(status, HeaderMap::new(), Bytes::from(body.to_owned()));
        Exchange { who: "globex".into(), request, outcome: Ok(reply), took: Duration::ZERO }
    }

    #[test]
    fn the_same_refusal_is_no_difference_and_any_other_is() {
        let text = |id: u64, what: &str| {
            json!({"jsonrpc": "2.0", "id": id, "result": {"isError": true, "content": [{"text": what}]}})
                .to_string()
        };
        let foreign = exchange(8, 200, &text(8, "no ticket 42 (request 12345678)"));
        let unknown = exchange(9, 200, &text(9, "no ticket 977123 (request 22345679)"));
        assert_eq!(difference(&foreign, &json!(42), &unknown, &json!(977_123)), None);
        let other = exchange(9, 200, &text(9, "not your ticket"));
        assert!(difference(&foreign, &json!(42), &other, &json!(977_123)).unwrap().contains("not your"));
        let status = exchange(9, 403, &text(9, "no ticket 977123 (request 22345679)"));
        assert!(difference(&foreign, &json!(42), &status, &json!(977_123)).unwrap().contains("403"));
        // Ids of events are made up for each answer.
        let stream = |id: u64, event: &str| {
            let mut one = exchange(id, 200, &format!("id: {event}\ndata: {}\n\n", text(id, "no ticket")));
            if let Ok(reply) = &mut one.outcome {
                reply.headers.insert("content-type", http::HeaderValue::from_static("text/event-stream"));
            }
            one
        };
        let (one, other) = (stream(8, "x_vtk2xf42"), stream(9, "x_g1sovz3z"));
        assert_eq!(difference(&one, &json!(42), &other, &json!(977_123)), None);
        // A short id stands in other numbers too.
        let [foreign, unknown] = [(4, "4"), (9_771_233, "9771233")].map(|(number, id)| {
            (exchange(8, 200, &text(8, &format!("no ticket {id} (code 404)"))), json!(number))
        });
        assert_eq!(difference(&foreign.0, &foreign.1, &unknown.0, &unknown.1), None);
    }
}
