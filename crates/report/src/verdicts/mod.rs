//! How the verdicts of a probe are shown.

mod html;
mod markdown;
mod sarif;
#[cfg(test)]
mod tests;
mod text;

use partywall_model::{Page, Verdicts};

use crate::{Format, Style};

pub(crate) use html::{STYLE, transcripts};

/// Verdicts and what is needed to show them.
pub struct VerdictReport<'a> {
    /// The verdicts.
    pub verdicts: &'a Verdicts,
    /// The pages of the probes.
    pub pages: &'a [Page],
    /// How text looks.
    pub style: Style,
}

/// Why verdicts cannot be shown in a format.
#[derive(Debug)]
pub enum VerdictFormatError {
    /// The format is one of findings only.
    Unsuited(Format),
    /// They cannot be written as JSON, which no verdicts of ours are.
    Json(serde_json::Error),
}

impl std::fmt::Display for VerdictFormatError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unsuited(format) => {
                write!(
                    formatter,
                    "verdicts have no {format} form; there are text, json, jsonl, sarif, html, markdown"
                )
            }
            Self::Json(error) => write!(formatter, "{error}"),
        }
    }
}

impl std::error::Error for VerdictFormatError {}

impl VerdictReport<'_> {
    /// Shows the verdicts in a format. The text ends with a line break.
    ///
    /// # Errors
    /// When there is no such form of verdicts.
    pub fn render(&self, format: Format) -> Result<String, VerdictFormatError> {
        let json = VerdictFormatError::Json;
        Ok(match format {
            Format::Text => text::render(self),
            Format::Json => serde_json::to_string_pretty(self.verdicts).map_err(json)? + "\n",
            Format::Jsonl => self
                .verdicts
                .verdicts
                .iter()
                .try_fold(String::new(), |lines, verdict| {
                    Ok::<_, serde_json::Error>(lines + &serde_json::to_string(verdict)? + "\n")
                })
                .map_err(json)?,
            Format::Sarif => sarif::render(self).map_err(json)?,
            Format::Html => html::render(self),
            Format::Markdown => markdown::render(self),
            Format::Badge => return Err(VerdictFormatError::Unsuited(format)),
        })
    }
}
