//! Values that belong to one tenant, and the search for them in what another gets.

use std::collections::BTreeMap;

use crate::disguise::{Needle, Seen, contains};

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
    /// Why it may be the other's too, if it may: what shows it is no leak for certain.
    doubt: Option<String>,
    needle: Needle,
}

/// A foreign value that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) owner: String,
    pub(crate) text: String,
    /// How it was written there.
    pub(crate) written: &'static str,
    /// Why it may be no leak, if it may.
    pub(crate) doubt: Option<String>,
}

/// The values of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    marks: Vec<Mark>,
}

/// The most learned values of one tenant; seeds and planted ones are not limited, for they are few.
const MOST_LEARNED: usize = 300;

/// How much of a planted value's end is random.
const RANDOM: usize = 24;
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
        self.push(owner, text, origin);
    }

    /// A fresh value to plant: it names its owner and the place, and stands nowhere else by chance.
    pub(crate) fn plant(&mut self, owner: &str, surface: &str) -> String {
        // The process's own generator, not the run's: the same seed must not write the same value twice.
        let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(12).collect();
        let tag: String = owner.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        let place: String = surface.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        let text = format!("cnry-{tag}-{place}-{}-{}", self.marks.len(), hex::encode(random));
        self.push(owner, &text, Origin::Planted);
        text
    }

    /// A fresh number to plant, of twelve digits: it is kept where texts are dropped.
    pub(crate) fn plant_number(&mut self, owner: &str) -> u64 {
        let number = fastrand::u64(100_000_000_000..1_000_000_000_000);
        self.push(owner, &number.to_string(), Origin::Planted);
        number
    }

    fn push(&mut self, owner: &str, text: &str, origin: Origin) {
        let mut needle = Needle::of(text);
        if origin == Origin::Planted {
            // The end of a planted value is random: a part of it cannot stand there by chance.
            let letters: Vec<char> = text.chars().collect();
            let tail = letters.get(letters.len().saturating_sub(RANDOM)..).unwrap_or_default();
            needle = needle.with_parts(tail.windows(FRAGMENT).step_by(4).map(|part| part.iter().collect()));
        }
        self.marks.push(Mark { owner: owner.to_owned(), text: text.to_owned(), origin, doubt: None, needle });
    }

    /// Doubts that a learned value is its owner's alone.
    pub(crate) fn doubt(&mut self, owner: &str, text: &str, why: &str) {
        let learned = |mark: &&mut Mark| mark.owner == owner && mark.origin == Origin::Learned;
        for mark in self.marks.iter_mut().filter(learned).filter(|mark| mark.text == text) {
            mark.doubt.get_or_insert_with(|| why.to_owned());
        }
    }

    /// Whether anything at all is known to be somebody else's than the tenant's.
    pub(crate) fn any_but(&self, tenant: &str) -> bool {
        self.marks.iter().any(|mark| mark.owner != tenant)
    }

    /// Takes into account what a tenant was shown while nobody else was at work: what was learned of others and stands
    /// there too is nobody's, and what begins alike is not known by its beginning.
    pub(crate) fn settle(&mut self, tenant: &str, seen: &[u8]) {
        let seen = Seen::of(seen);
        self.marks.retain(|mark| {
            mark.owner == tenant || mark.origin != Origin::Learned || !seen.shows_plainly(&mark.needle)
        });
        for mark in self.marks.iter_mut().filter(|mark| mark.owner != tenant) {
            if seen.begins(&mark.needle) {
                mark.needle.whole_only();
            }
        }
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

    /// The first value in `seen` that belongs to somebody else than `tenant`; one that is doubted only where no other is
    /// there. What stands in `sent` is not foreign: the target may have echoed it.
    pub(crate) fn foreign(&self, tenant: &str, seen: &[u8], sent: &[u8]) -> Option<Hit> {
        let (seen, sent) = (Seen::of(seen), Seen::of(sent));
        let hit = |mark: &Mark| {
            let written = seen.shows(&mark.needle)?;
            sent.shows(&mark.needle).is_none().then(|| Hit {
                owner: mark.owner.clone(),
                text: mark.text.clone(),
                written,
                doubt: mark.doubt.clone(),
            })
        };
        let others = || self.marks.iter().filter(|mark| mark.owner != tenant && !self.has_too(tenant, mark));
        let certain = others().filter(|mark| mark.doubt.is_none()).find_map(hit);
        certain.or_else(|| others().filter(|mark| mark.doubt.is_some()).find_map(hit))
    }

    /// Whether a value of the tenant's own has the other's in it: to be shown that is his right.
    fn has_too(&self, tenant: &str, mark: &Mark) -> bool {
        self.of(tenant).any(|own| contains(own.needle.folded(), mark.needle.folded()))
    }

    /// The first value that the run wrote as the tenant and that is in `seen`.
    pub(crate) fn planted(&self, tenant: &str, seen: &[u8]) -> Option<String> {
        let seen = Seen::of(seen);
        let mut planted = self.of(tenant).filter(|mark| mark.origin == Origin::Planted);
        planted.find(|mark| seen.shows(&mark.needle).is_some()).map(|mark| mark.text.clone())
    }

    /// Whether one of the tenant's own values is in `seen`.
    pub(crate) fn own(&self, tenant: &str, seen: &[u8]) -> bool {
        let seen = Seen::of(seen);
        self.of(tenant).any(|mark| seen.shows(&mark.needle).is_some())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

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
    fn what_a_tenant_has_itself_is_not_anothers() {
        let mut marks = marks();
        marks.add("globex", "Was: Printer on fire 4711 (moved)", Origin::Seed);
        assert_eq!(marks.foreign("globex", b"Printer on fire 4711", b""), None);
        assert!(marks.foreign("", b"Printer on fire 4711", b"").is_some());
    }

    #[test]
    fn what_others_are_shown_alone_is_nobodys() {
        let mut marks = marks();
        marks.add("acme", "Release notes of today", Origin::Learned);
        marks.add("acme", "The quarterly figures of Acme", Origin::Learned);
        marks.settle(
            "globex",
            br#"{"news": "RELEASE  NOTES of today", "t": "The quarterly figures of Globex"}"#,
        );
        assert_eq!(marks.foreign("globex", b"Release notes of today", b""), None);
        assert_eq!(marks.foreign("globex", b"The quarterly figures...", b""), None);
        assert!(marks.foreign("globex", b"The quarterly figures of Acme", b"").is_some());
        // A seed stays what its owner says that it is.
        marks.settle("globex", b"Printer on fire 4711");
        assert!(marks.foreign("globex", b"Printer on fire 4711", b"").is_some());
    }

    #[test]
    fn a_value_that_is_doubted_is_named_last_and_with_the_doubt() {
        let mut marks = marks();
        marks.add("acme", "Laser printer LX 9001", Origin::Learned);
        marks.doubt("acme", "Laser printer LX 9001", "a catalogue may show it");
        let both = b"Laser printer LX 9001: Printer on fire 4711";
        assert_eq!(marks.foreign("globex", both, b"").unwrap().doubt, None);
        let hit = marks.foreign("globex", b"Laser printer LX 9001", b"").unwrap();
        assert_eq!(hit.doubt.as_deref(), Some("a catalogue may show it"));
        // What its owner named is not doubted.
        marks.doubt("acme", "Printer on fire 4711", "who knows");
        assert_eq!(marks.foreign("globex", b"Printer on fire 4711", b"").unwrap().doubt, None);
    }

    #[test]
    fn a_part_of_a_planted_value_is_enough() {
        let mut marks = Marks::default();
        let text = marks.plant("acme", "tickets.body");
        let (_, tail) = text.split_at(text.len() - 20);
        assert!(marks.foreign("globex", tail.as_bytes(), b"").is_some(), "{tail}");
        assert!(marks.own("acme", format!("re: {text}!").as_bytes()));
        assert!(marks.foreign("globex", b"cnry-acme-ticketsbody-0-", b"").is_none());
        let number = marks.plant_number("acme");
        for sum in [format!("{{\"total\":{number}.0}}"), format!("EUR {number}")] {
            assert!(marks.foreign("globex", sum.as_bytes(), b"").is_some(), "{sum}");
        }
        assert!(marks.foreign("globex", format!("1{number}").as_bytes(), b"").is_none());
    }
}
