//! The sources of a new configuration, and letting go of what is not used.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use super::{DataError, Outside, Source, Sources};
use crate::config::Config;

impl Sources {
    /// The sources of another configuration. One that is as it was stays, with what it has open.
    ///
    /// # Errors
    /// As [`Sources::new`].
    pub(crate) fn renewed(&self, config: &Config, outside: &Outside) -> Result<Arc<Self>, DataError> {
        let mut sources = BTreeMap::new();
        for (name, settings) in &config.data {
            let new = Source::new(name, settings, config, outside)?;
            let source = match self.sources.get(name) {
                Some(old) if old.is_like(&new) => old.clone(),
                _ => new,
            };
            sources.insert(name.clone(), source);
        }
        Ok(Arc::new(Self { sources }))
    }

    /// Closes the files and connections that no call has used since; how many. May write to disk.
    pub(crate) fn close_idle(&self, since: Instant) -> usize {
        self.sources.values().map(|source| source.close_idle(since)).sum()
    }
}
