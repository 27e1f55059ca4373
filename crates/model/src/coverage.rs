//! What one face has for one layer: the cells of the matrix.

use serde::Serialize;

use crate::{Layer, Severity};

/// One of the three ways of looking at a layer; the columns of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Face {
    /// The gateway keeps the layer.
    Enforce,
    /// The scanner finds source code that breaks it.
    Scan,
    /// The prober tries to break it on a running server.
    Probe,
}

impl Face {
    /// Every face, in the order of the matrix.
    pub const ALL: [Self; 3] = [Self::Enforce, Self::Scan, Self::Probe];

    /// The face's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Scan => "scan",
            Self::Probe => "probe",
        }
    }
}

/// A guard's mechanism, a rule or a probe: something that works on one layer and can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The stable id, in kebab-case.
    pub id: &'static str,
    /// The layer it works on.
    pub layer: Layer,
    /// What it does, in one sentence.
    pub summary: &'static str,
}

/// A rule or a probe with its page: what `rules`, `probes` and `explain` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The rule or probe.
    #[serde(flatten)]
    pub check: Check,
    /// The face it belongs to.
    pub face: Face,
    /// How bad it is when it is true; the highest where it varies.
    pub severity: Severity,
    /// The page in Markdown, which is its tests too.
    #[serde(skip)]
    pub markdown: &'static str,
}

/// One cell of the matrix: what a face has for a layer, or why it has nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// The checks that work on the layer.
    Checks(&'static [Check]),
    /// There is none, because of this reason.
    None {
        /// The reason, printed in the matrix.
        because: &'static str,
    },
}
