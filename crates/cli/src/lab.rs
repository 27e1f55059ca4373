//! What the lab holds for each layer, as its manifest says: servers with one defect, which the prober finds and the scanner may.

use anyhow::{Context, Result};
use partywall_model::Layer;
use serde::Deserialize;

const MANIFEST: &str = include_str!("../../../lab/manifest.toml");

#[derive(Deserialize)]
struct Manifest {
    server: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    layer: Layer,
    #[serde(default)]
    lang: Lang,
    scan: Option<Scan>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Lang {
    #[default]
    TypeScript,
    Python,
}

/// What is said of the scanner when it does not find the defect.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Scan {
    Missed,
}

/// The lab, read once.
pub(crate) struct Lab(Vec<Entry>);

impl Lab {
    /// Reads the manifest that the command was built with.
    pub(crate) fn read() -> Result<Self> {
        let manifest: Manifest = toml::from_str(MANIFEST).context("cannot read the lab's manifest")?;
        Ok(Self(manifest.server))
    }

    /// The cell of a layer: how many defects there are in which language, and how many of them the scanner finds. The prober
    /// finds all of them; the tests see to it.
    pub(crate) fn cell(&self, layer: Layer) -> String {
        let of = |test: &dyn Fn(&Entry) -> bool| {
            self.0.iter().filter(|entry| entry.layer == layer && test(entry)).count()
        };
        let (script, python) =
            (of(&|entry| entry.lang == Lang::TypeScript), of(&|entry| entry.lang == Lang::Python));
        let mut languages = vec![format!("{script} TypeScript")];
        if python > 0 {
            languages.push(format!("{python} Python"));
        }
        let scanned = of(&|entry| entry.scan != Some(Scan::Missed));
        format!("{}; probe {}, scan {scanned}", languages.join(", "), script + python)
    }
}
