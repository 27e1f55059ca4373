//! How a document of findings is shown: each format is a pure function from the document to a text.
//!
//! All faces use it: what a finding is does not depend on who found it. Nothing here reads a file or knows whether there
//! is a terminal; the caller passes the sources of the files and the style in. Everything that comes from a scanned
//! repository (names, source lines, paths) is untrusted: control characters never reach a terminal, and markup never
//! reaches a page or a comment.

mod badge;
mod bundle;
mod excerpt;
mod html;
mod inline;
mod markdown;
mod rubric;
mod sarif;
mod text;
mod verdicts;

use std::{collections::BTreeMap, fmt, str::FromStr};

use partywall_model::{Document, Page};

pub use bundle::{AuditedLog, Bundle, CAVEAT, Gap, LayerEvidence, Mapped, Piece, SourceOf};
pub use rubric::{RubricRule, rubric};
pub use verdicts::{VerdictFormatError, VerdictReport};

/// A way to show a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// For people at a terminal: the code, the path, why, and what to change.
    Text,
    /// The whole document; its schema is printed by `partywall schema findings`.
    Json,
    /// One finding a line.
    Jsonl,
    /// SARIF 2.1.0, for code hosts.
    Sarif,
    /// One self-contained page.
    Html,
    /// For a comment on a change.
    Markdown,
    /// The grade as an SVG picture.
    Badge,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 7] =
        [Self::Text, Self::Json, Self::Jsonl, Self::Sarif, Self::Html, Self::Markdown, Self::Badge];

    /// The word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Sarif => "sarif",
            Self::Html => "html",
            Self::Markdown => "markdown",
            Self::Badge => "badge",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Format::ALL.map(Format::name).join(", ");
        write!(formatter, "there is no format {:?}; there are {names}", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == word)
            .ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

/// Where the lines come from that a report shows.
pub trait Sources {
    /// The text of a file, by the path that stands in the finding; nothing when there is none, as for a database.
    fn text(&self, path: &str) -> Option<&str>;
}

/// No sources: reports without code.
impl Sources for () {
    fn text(&self, _path: &str) -> Option<&str> {
        None
    }
}

impl Sources for BTreeMap<String, String> {
    fn text(&self, path: &str) -> Option<&str> {
        self.get(path).map(String::as_str)
    }
}

/// How text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether to use colour.
    pub colour: bool,
    /// How many characters fit in a line of the terminal.
    pub width: usize,
    /// Whether to list everything that was skipped, and not only how much.
    pub verbose: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 120, verbose: false }
    }
}

/// A document and what is needed to show it.
pub struct Report<'a> {
    /// The findings.
    pub document: &'a Document,
    /// The pages of the rules that could have found something.
    pub pages: &'a [Page],
    /// The files' texts.
    pub sources: &'a dyn Sources,
    /// How text looks.
    pub style: Style,
    /// What leads from the folder where the reader is to the paths of the document, with a `/` at its end; empty where they begin
    /// there. Code hosts and comments name files from the repository's root on; what lies in none begins with `/`.
    pub below: &'a str,
    /// The same from the folder on where the reader of text stands, who opens what it names.
    pub here: &'a str,
}

/// Sources whose paths were put below a folder.
struct Below<'a> {
    sources: &'a dyn Sources,
    folder: &'a str,
}

impl Sources for Below<'_> {
    fn text(&self, path: &str) -> Option<&str> {
        self.sources.text(path.strip_prefix(self.folder)?)
    }
}

impl Report<'_> {
    /// Shows the document in a format. The text ends with a line break, if there is any.
    ///
    /// # Errors
    /// When the document cannot be written as JSON, which no document of ours is.
    pub fn render(&self, format: Format) -> Result<String, serde_json::Error> {
        let below = match format {
            Format::Sarif | Format::Markdown => self.below,
            Format::Text => self.here,
            _ => "",
        };
        if !below.is_empty() {
            let document = self.moved(below);
            let sources = Below { sources: self.sources, folder: below };
            return Report { document: &document, sources: &sources, below: "", here: "", ..*self }
                .render(format);
        }
        Ok(match format {
            Format::Text => text::render(self),
            Format::Json => serde_json::to_string_pretty(self.document)? + "\n",
            Format::Jsonl => self.document.findings.iter().try_fold(String::new(), |lines, finding| {
                Ok::<_, serde_json::Error>(lines + &serde_json::to_string(finding)? + "\n")
            })?,
            Format::Sarif => serde_json::to_string_pretty(&sarif::render(self))? + "\n",
            Format::Html => html::render(self),
            Format::Markdown => markdown::render(self),
            Format::Badge => badge::render(self.document),
        })
    }

    /// The document with its paths below a folder.
    fn moved(&self, below: &str) -> Document {
        with_paths(self.document.clone(), &|path| {
            if !path.contains("://") && !path.starts_with('/') {
                path.insert_str(0, below);
            }
        })
    }
}

/// The document with other paths.
#[must_use]
pub fn with_paths(mut document: Document, change: &dyn Fn(&mut String)) -> Document {
    let allowed = document.allowed.iter_mut().map(|allowed| &mut allowed.finding);
    let all = document.findings.iter_mut().chain(&mut document.known).chain(allowed);
    let places = all.flat_map(|finding| {
        std::iter::once(&mut finding.path).chain(finding.related.iter_mut().map(|step| &mut step.path))
    });
    for path in places.chain(document.skipped.iter_mut().map(|skipped| &mut skipped.path)) {
        change(path);
    }
    document
}

/// Why a document has no grade, if it has none.
pub(crate) fn not_assessed(document: &Document) -> Option<String> {
    if document.grade != partywall_model::NOT_ASSESSED {
        return None;
    }
    Some(match document.stats.files {
        _ if !document.is_of_nothing() => {
            "not all rules were asked for, and the whole has no grade without the others".to_owned()
        }
        0 if document.stats.relations == 0 && document.target == NO_DATABASE => {
            "no database was looked at, so nothing is known".to_owned()
        }
        0 => "no source file was read, so nothing is known".to_owned(),
        files => {
            let files = counted(usize::try_from(files).unwrap_or(usize::MAX), "file");
            format!(
                "no program was read, but only {files} of how one is built or started, so nothing is known"
            )
        }
    })
}

/// The target of a check of a configuration that names no database.
pub(crate) const NO_DATABASE: &str = "no database";

/// How many there are of something, with the noun in its number.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests;
