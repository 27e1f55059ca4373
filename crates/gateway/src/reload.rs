//! Another configuration while the server runs.
//!
//! Everything that follows from the configuration is made anew beside what is there, and takes its place in one step
//! when all of it is good. Calls in flight end with what they began with. Tenants, secrets, state, the audit log and
//! the counters stay.

use std::{
    path::Path,
    sync::{
        PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    clock::Clock,
    config::{Config, ConfigError},
    gateway::{Common, Gateway, OpenError, Services},
};

/// Why a configuration was not taken; the one before it is served on.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file is not as it should be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something in it cannot be served.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It changes something that is fixed when the server starts.
    #[error("`{key}` cannot be changed while the server runs; restart it, or put the old value back")]
    Restart {
        /// The key.
        key: &'static str,
    },
}

/// How often the configuration was changed.
pub(crate) struct Reloads {
    /// The number of the configuration that is served.
    revision: AtomicU64,
    good: AtomicU64,
    bad: AtomicU64,
    /// When it was taken, in seconds since 1970.
    since: AtomicU64,
}

impl Reloads {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            revision: AtomicU64::new(1),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            since: AtomicU64::new(clock.unix_seconds()),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Relaxed)
    }

    /// In the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        format!(
            "# HELP partywall_reloads_total Configurations that were taken or refused while the server ran.\n\
             # TYPE partywall_reloads_total counter\n\
             partywall_reloads_total{{result=\"ok\"}} {}\n\
             partywall_reloads_total{{result=\"error\"}} {}\n\
             # HELP partywall_config_revision The number of the configuration that is served.\n\
             # TYPE partywall_config_revision gauge\n\
             partywall_config_revision {}\n\
             # HELP partywall_config_loaded_seconds When it was taken, in seconds since 1970.\n\
             # TYPE partywall_config_loaded_seconds gauge\n\
             partywall_config_loaded_seconds {}\n",
            self.good.load(Relaxed),
            self.bad.load(Relaxed),
            self.revision(),
            self.since.load(Relaxed),
        )
    }
}

impl Gateway {
    /// Reads a configuration file and serves what it says from now on.
    ///
    /// It reads and compiles, so it belongs on a thread that may block.
    ///
    /// # Errors
    /// When it cannot be served as it is; nothing has changed then.
    pub fn reload_file(&self, path: &Path) -> Result<(), ReloadError> {
        self.counted(|| self.take(Config::load(path)?))
    }

    /// Serves another configuration from now on.
    ///
    /// # Errors
    /// When it cannot be served as it is; nothing has changed then.
    pub fn reload(&self, config: Config) -> Result<(), ReloadError> {
        self.counted(|| self.take(config))
    }

    fn counted(&self, take: impl FnOnce() -> Result<(), ReloadError>) -> Result<(), ReloadError> {
        // One at a time; the last one is served in the end.
        let _turn = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let reloads = &self.live.reloads;
        let taken = take();
        match &taken {
            Ok(()) => {
                reloads.good.fetch_add(1, Relaxed);
                reloads.since.store(self.lasting.clock.unix_seconds(), Relaxed);
                tracing::info!(revision = reloads.revision(), "another configuration is served");
            }
            Err(error) => {
                tracing::error!("the configuration was not changed: {error}");
                reloads.bad.fetch_add(1, Relaxed);
            }
        }
        taken
    }

    fn take(&self, config: Config) -> Result<(), ReloadError> {
        let old = self.config();
        if let Some(key) = fixed(&old, &config) {
            return Err(ReloadError::Restart { key });
        }
        let revision = self.live.reloads.revision() + 1;
        let before = self.live.services();
        let sources = before.sources.renewed(&config, &self.lasting.outside).map_err(OpenError::from)?;
        let common = Common::open(&config, &self.lasting, Some(&before)).map_err(OpenError::from)?;
        let services = Services::new(&config, revision, sources, common, &self.native, &self.lasting)?;
        self.lasting.gate.resize(config.server.concurrent_requests as usize);
        self.lasting.residents.resize(config.capacity.resident_tenants);
        self.live.reloads.revision.store(revision, Relaxed);
        self.live.replace(services);
        self.config.store(config.into());
        Ok(())
    }
}

/// The first key that differs and may not.
fn fixed(old: &Config, new: &Config) -> Option<&'static str> {
    let (a, b) = (&old.server, &new.server);
    [
        ("server.listen", a.listen == b.listen),
        ("server.admin_listen", a.admin_listen == b.admin_listen),
        ("server.data_dir", old.data_dir() == new.data_dir()),
        ("server.state", a.state == b.state),
        ("server.state_url", a.state_url == b.state_url),
        ("server.master_key", a.master_key == b.master_key),
        ("audit.max_file_bytes", old.audit.max_file_bytes == new.audit.max_file_bytes),
        ("server.max_connections", a.max_connections == b.max_connections),
    ]
    .into_iter()
    .find_map(|(key, same)| (!same).then_some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_at_the_start_only_cannot_be_changed_later() {
        let config = |server: &str| {
            let text = format!("[server]\n{server}\n[identity]\ndevelopment = true\n");
            Config::parse(&text, "test", Path::new("/")).expect("a configuration")
        };
        let central = "state = \"postgres\"\nstate_url = \"env:STATE\"\n";
        let keyed = format!("{central}master_key = \"env:KEY\"");
        for (old, new, key) in [
            ("", central, Some("server.state")),
            (central, "state = \"postgres\"\nstate_url = \"env:OTHER\"", Some("server.state_url")),
            (central, &keyed, Some("server.master_key")),
            ("", "admin_listen = \"127.0.0.1:9\"", Some("server.admin_listen")),
            (&keyed, &keyed, None),
            ("", "name = \"desk\"\ndrain_timeout = \"1s\"", None),
        ] {
            assert_eq!(fixed(&config(old), &config(new)), key, "{old} -> {new}");
        }
    }
}
