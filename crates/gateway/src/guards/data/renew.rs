//! The sources of a new configuration, and letting go of files that are not used.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{DataError, Sources, source::Source};
use crate::config::{Config, Driver};

impl Sources {
    /// The sources of another configuration. One that is as it was stays, with its open files.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub(crate) fn renewed(&self, config: &Config) -> Result<Arc<Self>, DataError> {
        let data_dir = config.data_dir();
        let mut sources = BTreeMap::new();
        for (name, settings) in &config.data {
            let Driver::Sqlite = settings.driver;
            let new = Source::new(name, settings, &config.base_dir, &data_dir)?;
            let source = match self.0.get(name) {
                Some(old) if old.is_like(&new) => Arc::clone(old),
                _ => Arc::new(new),
            };
            sources.insert(name.clone(), source);
        }
        Ok(Arc::new(Self(sources)))
    }

    /// Closes the files that no call has used since; how many. May write to disk.
    pub(crate) fn close_idle(&self, since: Instant) -> usize {
        self.0.values().map(|source| source.pool.close_idle(since)).sum()
    }
}
