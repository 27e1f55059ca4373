//! The attacks: one file and one page a probe, by layer; a probe is a family of techniques.

mod attempt;
mod cache;
mod capacity;
mod context;
mod counting;
mod credentials;
mod data;
mod disclosure;
pub(crate) mod identity;
mod metadata;
pub(crate) mod routing;
mod state;
mod writing;

use std::{future::Future, pin::Pin, sync::LazyLock};

use partywall_model::{Check, Coverage, Face, Layer, Page, Severity};

use crate::{site::Site, tally::Tally};

/// An attack: what its attempts add up to.
pub(crate) type Attack = for<'a> fn(&'a Site) -> Pin<Box<dyn Future<Output = Tally> + Send + 'a>>;

/// One way of attacking, with a verdict of its own.
#[derive(Debug)]
pub struct Technique {
    /// The id in the catalogue of attacks.
    pub id: &'static str,
    /// What is done, in a few words.
    pub name: &'static str,
    /// How bad a leak by it is.
    pub severity: Severity,
    /// Whether it belongs to the quick profile.
    pub quick: bool,
    /// Whether it loads the target; it then runs only when the layer is named.
    pub load: bool,
    /// Whether it comes after all others, since it leaves a tenant in another state.
    pub last: bool,
    pub(crate) run: Attack,
}

impl Technique {
    pub(crate) const fn new(id: &'static str, name: &'static str, severity: Severity, run: Attack) -> Self {
        Self { id, name, severity, quick: false, load: false, last: false, run }
    }

    pub(crate) const fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    pub(crate) const fn last(self) -> Self {
        Self { last: true, ..self }
    }

    pub(crate) const fn load(self) -> Self {
        Self { load: true, ..self }
    }
}

/// A family of techniques on one layer, with its page.
#[derive(Debug)]
pub struct Probe {
    /// The id, the layer, the page.
    pub page: Page,
    /// Its techniques.
    pub techniques: &'static [Technique],
}

impl Probe {
    pub(crate) const fn new(
        id: &'static str,
        layer: Layer,
        severity: Severity,
        summary: &'static str,
        markdown: &'static str,
        techniques: &'static [Technique],
    ) -> Self {
        Self {
            page: Page { check: Check { id, layer, summary }, face: Face::Probe, severity, markdown },
            techniques,
        }
    }

    /// Whether a word on the command line means this probe or one of its techniques.
    #[must_use]
    pub fn answers_to(&self, word: &str) -> bool {
        self.page.check.id == word
            || self.techniques.iter().any(|technique| technique.id.eq_ignore_ascii_case(word))
    }
}

static ALL: LazyLock<Vec<&'static Probe>> = LazyLock::new(|| {
    [
        identity::PROBES,
        context::PROBES,
        state::PROBES,
        data::PROBES,
        cache::PROBES,
        credentials::PROBES,
        routing::PROBES,
        capacity::PROBES,
        disclosure::PROBES,
    ]
    .concat()
});

static CHECKS: LazyLock<Vec<Check>> = LazyLock::new(|| ALL.iter().map(|probe| probe.page.check).collect());

/// Every probe, in the order of the layers.
#[must_use]
pub fn probes() -> &'static [&'static Probe] {
    &ALL
}

/// The pages of all probes.
#[must_use]
pub fn pages() -> Vec<Page> {
    ALL.iter().map(|probe| probe.page).collect()
}

/// What the prober has for a layer.
#[must_use]
pub fn coverage(layer: Layer) -> Coverage {
    let from = CHECKS.iter().position(|check| check.layer == layer);
    let count = CHECKS.iter().filter(|check| check.layer == layer).count();
    match from.and_then(|from| CHECKS.get(from..from + count)) {
        Some(checks) => Coverage::Checks(checks),
        None => Coverage::None { because: "no probe attacks this layer" },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_stand_once_and_every_page_says_what_it_is() {
        let mut ids = BTreeSet::new();
        for probe in probes() {
            let page = &probe.page;
            assert!(ids.insert(page.check.id), "{}", page.check.id);
            assert!(page.markdown.starts_with(&format!("# {}\n", page.check.id)), "{}", page.check.id);
            for heading in ["## What it does", "## What a leak looks like", "## How to mend it"] {
                assert!(page.markdown.contains(heading), "{} lacks {heading:?}", page.check.id);
            }
            assert!(!probe.techniques.is_empty(), "{}", page.check.id);
            for technique in probe.techniques {
                assert!(ids.insert(technique.id), "{} stands twice", technique.id);
                assert!(
                    page.markdown.contains(technique.id),
                    "{}'s page lacks {}",
                    page.check.id,
                    technique.id
                );
            }
        }
        assert_eq!(pages().len(), probes().len());
    }
}
