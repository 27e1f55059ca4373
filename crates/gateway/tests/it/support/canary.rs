//! Marks that only one tenant may see, and the search for them in whatever form they come.

use std::{collections::BTreeSet, sync::RwLock};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::Value;

/// A tenant's marks: they cannot be guessed, and one of them is a number, since sums and summaries drop texts.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) text: String,
    pub(crate) number: u64,
}

/// Everybody's marks.
#[derive(Default)]
pub(crate) struct Canaries(RwLock<Vec<(String, String)>>);

/// Texts are found by any part of this length.
const FRAGMENT: usize = 16;

impl Canaries {
    pub(crate) fn plant(&self, tenant: &str) -> Marks {
        let mut bytes = [0_u8; 20];
        getrandom::fill(&mut bytes).unwrap();
        let (for_text, for_number) = bytes.split_at(12);
        let text: String = for_text.iter().map(|byte| format!("{byte:02x}")).collect();
        let number = u64::from_be_bytes(for_number.try_into().unwrap());
        let number = 100_000_000_000 + number % 900_000_000_000;
        self.also(tenant, &text);
        self.also(tenant, &number.to_string());
        Marks { text: format!("cnry-{tenant}-{text}"), number }
    }

    /// One more mark of the tenant.
    pub(crate) fn also(&self, tenant: &str, mark: &str) {
        self.0.write().unwrap().push((tenant.to_owned(), mark.to_owned()));
    }

    /// The tenant's latest text, as [`Canaries::plant`] gave it.
    pub(crate) fn text_of(&self, tenant: &str) -> String {
        let marks = self.0.read().unwrap();
        let found = marks.iter().rfind(|(of, mark)| of == tenant && mark.len() == 24);
        format!("cnry-{tenant}-{}", found.unwrap().1)
    }

    pub(crate) fn number_of(&self, tenant: &str) -> u64 {
        let marks = self.0.read().unwrap();
        let found = marks.iter().rfind(|(of, mark)| of == tenant && mark.len() == 12);
        found.unwrap().1.parse().unwrap()
    }

    /// Takes the marks a tenant has now for somebody else's, since its id gets another life.
    pub(crate) fn bury(&self, tenant: &str) {
        for (of, _) in self.0.write().unwrap().iter_mut() {
            if of == tenant {
                *of = format!("the earlier {tenant}");
            }
        }
    }

    /// A mark in these bytes that is not the tenant's own.
    pub(crate) fn foreign(&self, tenant: &str, bytes: &[u8]) -> Option<String> {
        let views = views(bytes);
        let marks = self.0.read().unwrap();
        marks
            .iter()
            .filter(|(of, _)| of != tenant)
            .find(|(_, mark)| views.iter().any(|view| holds(view, mark)))
            .map(|(of, mark)| format!("{mark} of {of}"))
    }

    #[track_caller]
    pub(crate) fn assert_own(&self, tenant: &str, bytes: &[u8]) {
        if let Some(found) = self.foreign(tenant, bytes) {
            panic!("`{tenant}` was shown {found}: {}", String::from_utf8_lossy(bytes));
        }
    }
}

fn holds(view: &str, mark: &str) -> bool {
    if mark.len() < FRAGMENT {
        return view.contains(mark);
    }
    // Every other place: a fragment one byte longer than the least holds one of them.
    let last = mark.len() - FRAGMENT;
    (0..=last).any(|at| mark.get(at..at + FRAGMENT).is_some_and(|part| view.contains(part)))
}

/// The bytes as they are and as they would be after the usual encodings are undone, in lower case.
fn views(bytes: &[u8]) -> BTreeSet<String> {
    let mut views = BTreeSet::new();
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut open = vec![(text, 0)];
    while let Some((text, depth)) = open.pop() {
        if depth < 3 {
            open.extend(decoded(&text).into_iter().map(|text| (text, depth + 1)));
        }
        let lower = text.to_ascii_lowercase();
        views.insert(lower.chars().rev().collect());
        views.insert(lower);
    }
    views
}

fn decoded(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if text.contains('%') {
        found.push(lossy(&percent_encoding::percent_decode_str(text).collect::<Vec<u8>>()));
    }
    if text.contains('\\') || text.contains("\n\n") {
        let body = text.split_once("\r\n\r\n").map_or(text, |(_, body)| body);
        let lines = body.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
        for part in lines.chain([body, text]) {
            let mut values = serde_json::from_str::<Value>(part).into_iter().collect::<Vec<_>>();
            while let Some(value) = values.pop() {
                match value {
                    Value::String(inner) => found.push(inner),
                    Value::Array(list) => values.extend(list),
                    Value::Object(map) => {
                        for (key, value) in map {
                            found.push(key);
                            values.push(value);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    let in_64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_');
    for run in text.split(|c: char| !in_64(c)).filter(|run| run.len() >= FRAGMENT) {
        let plain = run.replace('-', "+").replace('_', "/");
        for start in 0..4 {
            let rest = plain.get(start..).unwrap_or_default();
            let whole = rest.get(..rest.len() / 4 * 4).unwrap_or_default();
            found.extend(STANDARD_NO_PAD.decode(whole).iter().map(|bytes| lossy(bytes)));
        }
        if run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let digits: Vec<u8> = run
                .chars()
                .filter_map(|c| c.to_digit(16))
                .filter_map(|digit| u8::try_from(digit).ok())
                .collect();
            for start in 0..2 {
                let bytes: Vec<u8> =
                    digits[start..].chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
                found.push(lossy(&bytes));
            }
        }
    }
    found
}

#[test]
fn a_foreign_mark_is_found_in_every_disguise() {
    let canaries = Canaries::default();
    let (own, theirs) = (canaries.plant("acme"), canaries.plant("globex"));
    let mark = &theirs.text;
    let hex: String = mark.bytes().map(|byte| format!("{byte:02x}")).collect();
    let escaped: String = mark.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let percent: String = mark.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let nested = serde_json::json!({ "a": serde_json::json!({ "b": mark }).to_string() }).to_string();
    let fragment = mark.get(mark.len() - FRAGMENT..).unwrap();
    for disguise in [
        mark.clone(),
        mark.to_uppercase(),
        mark.chars().rev().collect(),
        format!("x={}", STANDARD_NO_PAD.encode(format!("ab{mark}"))),
        hex,
        percent,
        format!("HTTP/1.1 200 OK\r\n\r\n{{\"a\":\"{escaped}\"}}"),
        format!("event: message\ndata: {{\"a\":\"{escaped}\"}}\n\n"),
        nested,
        fragment.to_owned(),
        format!("sum {}", theirs.number),
    ] {
        assert!(canaries.foreign("acme", disguise.as_bytes()).is_some(), "{disguise}");
        assert!(canaries.foreign("globex", disguise.as_bytes()).is_none(), "{disguise}");
    }
    canaries.assert_own("acme", format!("{} {} 123456789012", own.text, own.number).as_bytes());
}
