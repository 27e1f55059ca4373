//! Where Redis is and how it is reached, as `[shared]` says.

use std::{path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret, SecretString};

use super::{
    address::{nodes, target},
    health::Words,
    link::Link,
};
use crate::config::{Config, Environment, ReferenceError, Shared};

/// Why nothing can be shared as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The URL is not there.
    #[error("shared.redis: {0}")]
    Reference(#[from] ReferenceError),
    /// The URL is not one that can be used.
    #[error("shared.redis: {0}")]
    Url(&'static str),
    /// The certificates cannot be read.
    #[error("shared.ca_file: cannot read {path}: {source}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The library cannot use what it was given.
    #[error("shared: the connection cannot be set up ({0}); check the URL and the certificates")]
    Connection(String),
}

/// Where Redis is, with what the configuration refers to.
pub(in crate::guards) struct Place {
    settings: Shared,
    url: SecretString,
    certificates: Option<Vec<u8>>,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.url.expose_secret() == other.url.expose_secret()
            && self.certificates == other.certificates
    }
}

impl Place {
    /// Reads the URL and the certificates; nothing when nothing is shared.
    pub(in crate::guards) fn read(
        config: &Config,
        environment: &Environment,
    ) -> Result<Option<Self>, SharedError> {
        let Some(settings) = &config.shared else { return Ok(None) };
        let url = settings.redis.resolve(&config.base_dir, environment)?;
        let certificates = match &settings.ca_file {
            None => None,
            Some(path) => {
                let path = config.base_dir.join(path);
                let read = std::fs::read(&path);
                Some(read.map_err(|source| SharedError::Certificates { path, source })?)
            }
        };
        let place = Self { settings: settings.clone(), url, certificates };
        place.nodes()?;
        Ok(Some(place))
    }

    fn nodes(&self) -> Result<Vec<url::Url>, SharedError> {
        nodes(self.url.expose_secret(), self.settings.cluster).map_err(SharedError::Url)
    }

    pub(in crate::guards) fn settings(&self) -> &Shared {
        &self.settings
    }

    /// A connection of its own, not made yet.
    pub(in crate::guards) fn link(&self, words: &'static Words) -> Result<Arc<Link>, SharedError> {
        let target = target(&self.nodes()?, &self.settings, self.certificates.clone())?;
        Ok(Link::new(target, self.settings.timeout, words))
    }
}
