//! What is wrong with a configuration file.

use std::{fmt, path::PathBuf};

/// One problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1: that of the key, or of its table.
    pub line: usize,
    /// The key in back quotes, what is wrong, and what would be right.
    pub text: String,
}

impl ConfigProblem {
    /// The key, where the problem is one of a key: the full one, or that within the tool's or the upstream's table.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        let named = ["tool `", "upstream `"].iter().find_map(|kind| self.text.strip_prefix(kind));
        let text = match named {
            Some(named) => named.split_once("`: ")?.1,
            None => &self.text,
        };
        let (key, _) = text.strip_prefix('`')?.split_once('`')?;
        Some(key)
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Why a configuration cannot be used: every problem found, each with its place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}; name another with --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be; one line a problem.
    #[error("{}", lines(problems))]
    Invalid {
        /// Each problem with its place.
        problems: Vec<ConfigProblem>,
    },
}

fn lines(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ConfigProblem::to_string).collect::<Vec<_>>().join("\n")
}
