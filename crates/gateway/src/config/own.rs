//! Which files are the gateway's own, so that nothing that it starts may read them.

use std::path::PathBuf;

use super::{Config, Reference};

/// What the file of the configuration is called in messages.
pub(crate) const CONFIGURATION: &str = "the configuration file";

impl Config {
    /// The folder of all tenants' data and the files that keys stand in, with what names them. They need not be there.
    pub(crate) fn own_paths(&self) -> Vec<(String, PathBuf)> {
        let mut paths = vec![("`server.data_dir`".to_owned(), self.data_dir())];
        paths.extend(self.file.iter().map(|file| (CONFIGURATION.to_owned(), file.clone())));
        let named = |key: String, file: &str| (format!("the file of `{key}`"), self.base_dir.join(file));
        let references = [
            ("server.master_key", self.server.master_key.as_ref()),
            ("server.state_url", self.server.state_url.as_ref()),
            ("shared.redis", self.shared.as_ref().map(|shared| &shared.redis)),
        ];
        for (key, reference) in references {
            paths.extend(reference.and_then(Reference::file).map(|file| named(key.to_owned(), file)));
        }
        for (source, data) in &self.data {
            let file = data.url.as_deref().and_then(|url| url.strip_prefix("file:"));
            paths.extend(file.map(|file| named(format!("data.{source}.url"), file)));
        }
        paths
    }
}
