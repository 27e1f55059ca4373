//! `[shared]`, and values that stand elsewhere than in the file.

use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::duration;

/// `[shared]`: what several gateway processes share, in Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shared {
    /// The server's URL, `redis://` or `rediss://`: `env:NAME`, `file:PATH`, or the URL itself, which then has no
    /// password. For a cluster some of its nodes, with commas between.
    pub redis: Reference,
    /// Whether it is a Redis Cluster.
    #[serde(default)]
    pub cluster: bool,
    /// What every key begins with.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// How long a call may wait for an answer.
    #[serde(default = "default_timeout", deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// How many gateway processes share the limits: without an answer each applies its share of every limit.
    pub replicas: u32,
    /// A file with the certificates (PEM) that vouch for the server. Default: the system's.
    pub ca_file: Option<PathBuf>,
}

fn default_prefix() -> String {
    "partywall".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_millis(50)
}

/// The longest value that is read from a file, in bytes.
const LONGEST: u64 = 64 << 10;

/// A value, or where it stands: `env:NAME`, `file:PATH`, or the value itself.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Reference(String);

/// Why a value is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no such variable.
    #[error("the environment variable {0} is not set; set it for the server, or write file:PATH")]
    NoVariable(String),
    /// There is no environment to look in.
    #[error("this program gives the gateway no environment, so env:{0} stands for nothing; write file:PATH")]
    NoEnvironment(String),
    /// The file cannot be read.
    #[error("cannot read the file {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
}

impl Reference {
    /// The value, if it stands here.
    pub(crate) fn literal(&self) -> Option<&str> {
        let elsewhere = self.0.starts_with("env:") || self.0.starts_with("file:");
        (!elsewhere).then_some(self.0.as_str())
    }

    /// The path, if the value is in a file.
    pub(crate) fn file(&self) -> Option<&str> {
        self.0.strip_prefix("file:")
    }

    /// Reads the value; a path starts at `base`, and space around the value does not count.
    ///
    /// # Errors
    /// When there is none.
    pub fn resolve(&self, base: &Path, environment: &Environment) -> Result<SecretString, ReferenceError> {
        let text = if let Some(name) = self.0.strip_prefix("env:") {
            environment.get(name)?
        } else if let Some(path) = self.0.strip_prefix("file:") {
            let path = base.join(path);
            read_file(&path).map_err(|error| ReferenceError::File { path, why: error.to_string() })?
        } else {
            self.0.clone()
        };
        Ok(SecretString::from(text.trim().to_owned()))
    }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.literal().is_some() { "a value" } else { &self.0 })
    }
}

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Where the values of `env:NAME` come from: the gateway itself does not read the environment.
#[derive(Clone, Default)]
pub struct Environment(Option<Arc<Lookup>>);

impl Environment {
    /// An environment that asks `lookup` for each variable.
    pub fn from_fn(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(lookup)))
    }

    /// The value of a variable, if there is such a one.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        self.0.as_ref().and_then(|lookup| lookup(name))
    }

    fn get(&self, name: &str) -> Result<String, ReferenceError> {
        let lookup = self.0.as_ref().ok_or_else(|| ReferenceError::NoEnvironment(name.to_owned()))?;
        lookup(name).ok_or_else(|| ReferenceError::NoVariable(name.to_owned()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn values_come_from_where_they_stand_and_are_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("url"), "redis://:hush@localhost\n").unwrap();
        let environment = Environment::from_fn(|name| (name == "URL").then(|| "redis://one".to_owned()));
        let resolve = |text: &str, environment: &Environment| {
            let value = Reference(text.to_owned()).resolve(folder.path(), environment);
            value.map(|value| value.expose_secret().to_owned())
        };
        assert_eq!(resolve("env:URL", &environment).unwrap(), "redis://one");
        assert_eq!(resolve("file:url", &environment).unwrap(), "redis://:hush@localhost");
        assert_eq!(resolve("redis://two", &environment).unwrap(), "redis://two");
        assert_eq!(resolve("env:OTHER", &environment), Err(ReferenceError::NoVariable("OTHER".to_owned())));
        assert_eq!(
            resolve("env:URL", &Environment::default()),
            Err(ReferenceError::NoEnvironment("URL".to_owned()))
        );
        assert!(resolve("file:none", &environment).unwrap_err().to_string().contains("none: No such file"));
        let literal = Reference("redis://:hush@localhost".to_owned());
        assert!(!format!("{literal:?}").contains("hush"));
    }
}
