//! Values that belong to one tenant, and the search for them in what another gets.

use std::collections::BTreeMap;

use base64::{Engine, alphabet, engine::GeneralPurpose, engine::general_purpose::GeneralPurposeConfig};
use percent_encoding::percent_decode;

/// How a value is written that is not hidden in any way.
pub(crate) const AS_IT_IS: &str = "as it is";

/// Where a value's owner is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The user named it.
    Seed,
    /// Only its owner was shown it while nobody else was at work.
    Learned,
    /// The run wrote it through the owner's tools.
    Planted,
}

/// A value that belongs to one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) owner: String,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// A foreign value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) owner: String,
    pub(crate) text: String,
    /// How it was written there.
    pub(crate) written: &'static str,
}

/// The values of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: Vec<Mark>,
}

/// The most learned values of one tenant; seeds and planted ones are not limited, for they are few.
const MOST_LEARNED: usize = 300;

/// The least length of a fragment of a planted value that counts.
const FRAGMENT: usize = 16;

impl Marks {
    /// Adds a value; one that is too short to mean anything is left out.
    pub(crate) fn add(&mut self, owner: &str, text: &str, origin: Origin) {
        let text = text.trim();
        let learned =
            self.marks.iter().filter(|mark| mark.owner == owner && mark.origin == Origin::Learned).count();
        let least = if origin == Origin::Learned { 6 } else { 3 };
        let full = origin == Origin::Learned && learned >= MOST_LEARNED;
        if text.chars().count() < least
            || full
            || self.marks.iter().any(|mark| mark.text == text && mark.owner == owner)
        {
            return;
        }
        self.marks.push(Mark { owner: owner.to_owned(), text: text.to_owned(), origin });
    }

    /// A fresh value to plant: it names its owner and the place, and stands nowhere else by chance.
    pub(crate) fn plant(&mut self, owner: &str, surface: &str) -> String {
        // The process's own generator, not the run's: the same seed must not write the same value twice.
        let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(12).collect();
        let tag: String = owner.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let place: String = surface.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        let text = format!("cnry-{tag}-{place}-{}-{}", self.marks.len(), hex::encode(random));
        self.marks.push(Mark { owner: owner.to_owned(), text: text.clone(), origin: Origin::Planted });
        text
    }

    /// The values of a tenant.
    pub(crate) fn of<'a>(&'a self, owner: &'a str) -> impl Iterator<Item = &'a Mark> + 'a {
        self.marks.iter().filter(move |mark| mark.owner == owner)
    }

    /// Whether a value of the tenant is known from elsewhere than from what it was shown.
    pub(crate) fn certain(&self, owner: &str) -> bool {
        self.of(owner).any(|mark| mark.origin != Origin::Learned)
    }

    /// How many values there are of each tenant.
    pub(crate) fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for mark in &self.marks {
            *counts.entry(mark.owner.as_str()).or_insert(0) += 1;
        }
        counts
    }

    /// The first value in `seen` that belongs to somebody else than `tenant`. What stands in `sent` is not foreign: the
    /// target may have echoed it.
    pub(crate) fn foreign(&self, tenant: &str, seen: &[u8], sent: &[u8]) -> Option<Hit> {
        let seen = views(seen);
        let sent = views(sent);
        for (written, text) in &seen {
            for mark in self.marks.iter().filter(|mark| mark.owner != tenant) {
                if shows(text, mark)
                    && !sent.iter().any(|(_, text)| contains(text, &mark.text.to_lowercase()))
                {
                    return Some(Hit { owner: mark.owner.clone(), text: mark.text.clone(), written });
                }
            }
        }
        None
    }

    /// Whether one of the tenant's own values is in `seen`.
    pub(crate) fn own(&self, tenant: &str, seen: &[u8]) -> bool {
        let seen = views(seen);
        self.of(tenant).any(|mark| seen.iter().any(|(_, text)| shows(text, mark)))
    }
}

fn shows(text: &str, mark: &Mark) -> bool {
    let wanted = mark.text.to_lowercase();
    if contains(text, &wanted) {
        return true;
    }
    if mark.origin != Origin::Planted {
        return false;
    }
    // The end of a planted value is random: a part of it cannot stand there by chance.
    let letters: Vec<char> = wanted.chars().collect();
    let tail = letters.get(letters.len().saturating_sub(24)..).unwrap_or_default();
    tail.windows(FRAGMENT).step_by(4).any(|part| text.contains(&part.iter().collect::<String>()))
}

/// Whether a text has the value in it, and not only as a part of a longer number or word.
fn contains(text: &str, wanted: &str) -> bool {
    let edge = |c: Option<char>, inner: Option<char>| {
        !(c.is_some_and(|c| c.is_alphanumeric()) && inner.is_some_and(char::is_alphanumeric))
    };
    text.match_indices(wanted).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + wanted.len()..).and_then(|tail| tail.chars().next());
        edge(before, wanted.chars().next()) && edge(after, wanted.chars().next_back())
    })
}

/// The ways in which a text may hide a value, each written out; all in lower case.
fn views(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let plain = String::from_utf8_lossy(bytes).into_owned();
    let mut all = vec![(AS_IT_IS, plain.to_lowercase())];
    let mut open = plain.clone();
    for _ in 0..3 {
        let next = unescape(&open);
        if next == open {
            break;
        }
        all.push(("escaped", next.to_lowercase()));
        open = next;
    }
    if plain.contains('%') {
        all.push(("percent-encoded", percent_decode(bytes).decode_utf8_lossy().to_lowercase()));
    }
    let decoded: String = words(&open).filter_map(base64).collect::<Vec<_>>().join("\n");
    if !decoded.is_empty() {
        all.push(("in base64", decoded.to_lowercase()));
    }
    let unhexed: String = words(&open).filter_map(unhex).collect::<Vec<_>>().join("\n");
    if !unhexed.is_empty() {
        all.push(("in hexadecimal", unhexed.to_lowercase()));
    }
    all.push(("backwards", open.chars().rev().collect::<String>().to_lowercase()));
    all
}

/// Runs of letters that may be an encoding.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=')))
        .filter(|word| word.len() >= 8)
}

fn base64(word: &str) -> Option<String> {
    let word = word.trim_end_matches('=');
    [&alphabet::STANDARD, &alphabet::URL_SAFE].into_iter().find_map(|alphabet| {
        let config = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(alphabet, config).decode(word).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let readable = text.chars().filter(|c| !c.is_control() && *c != '\u{fffd}').count();
        (readable * 2 > text.chars().count()).then_some(text)
    })
}

fn unhex(word: &str) -> Option<String> {
    let bytes = hex::decode(word).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Takes one layer of JSON's escapes away.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let code: String = letters.by_ref().take(4).collect();
                match u32::from_str_radix(&code, 16).ok().and_then(char::from_u32) {
                    Some(letter) => out.push(letter),
                    None => out.push_str(&code),
                }
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        let mut marks = Marks::default();
        marks.add("acme", "Printer on fire 4711", Origin::Seed);
        marks.add("acme", "738201946512", Origin::Learned);
        marks.add("globex", "Reactor leak", Origin::Seed);
        marks
    }

    #[test]
    fn a_foreign_value_is_found_however_it_is_written() {
        let marks = marks();
        let base = base64::engine::general_purpose::STANDARD.encode("{\"title\":\"Printer on fire 4711\"}");
        let hexed = hex::encode("Printer on fire 4711");
        let nested = serde_json::json!({"text": serde_json::json!({"t": "Printer \"on\"".replace('"', "")
            + " fire 4711"}).to_string()})
        .to_string();
        let unicode = "Printer\\u0020on\\u0020fire\\u00204711";
        let cases = [
            "x Printer on fire 4711 y",
            "PRINTER ON FIRE 4711",
            "Printer%20on%20fire%204711",
            "1174 erif no retnirP",
            "amount: 738201946512.",
            &base,
            &hexed,
            &nested,
            unicode,
        ];
        for case in cases {
            let hit = marks.foreign("globex", case.as_bytes(), b"");
            assert_eq!(hit.map(|hit| hit.owner).as_deref(), Some("acme"), "{case}");
            assert_eq!(marks.foreign("acme", case.as_bytes(), b""), None, "{case}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_not_found() {
        let marks = marks();
        for case in ["Printer on fire 47110", "17382019465121", "Printer", "reactor", "", "\\u00", "%zz%"] {
            assert_eq!(marks.foreign("globex", case.as_bytes(), b""), None, "{case}");
        }
        // What the caller sent himself comes back in errors.
        assert_eq!(marks.foreign("globex", b"no ticket 738201946512", b"{\"id\":738201946512}"), None);
    }

    #[test]
    fn a_part_of_a_planted_value_is_enough() {
        let mut marks = Marks::default();
        let text = marks.plant("acme", "tickets.body");
        let (_, tail) = text.split_at(text.len() - 20);
        assert!(marks.foreign("globex", tail.as_bytes(), b"").is_some(), "{tail}");
        assert!(marks.own("acme", format!("re: {text}!").as_bytes()));
        assert!(marks.foreign("globex", b"cnry-acme-ticketsbody-0-", b"").is_none());
    }
}
