//! How many files the process may have open, and so how many connections.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::{config::Config, guards::disclosure::audit::Audit};

/// Files that a server needs besides connections and databases: audit logs, the registry, the vault, upstreams.
const OTHERS: u64 = Audit::MOST_FILES + 256;
/// What SQLite has open for one database.
const FILES_OF_A_DATABASE: u64 = 3;
/// A server that has fewer connections is none.
const FEWEST: u64 = 16;

/// Lets the process open as many files as the system allows it to; how many those are, if they are limited.
pub fn raise_file_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays as it is, and is reckoned with below.
    let _refused = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current
}

/// How many connections there can be: as configured, or fewer when the process may not open so many files.
pub(super) fn connections(config: &Config) -> usize {
    let wanted = config.server.max_connections;
    let databases =
        config.data.values().map(|source| source.max_open_files as u64 * FILES_OF_A_DATABASE).sum();
    let Some(limit) = getrlimit(Resource::Nofile).current else { return wanted };
    let possible = affordable(limit, databases);
    if possible < wanted {
        tracing::warn!(
            "`server.max_connections` is {wanted}, but this process may open {limit} files only: there will be \
             {possible} connections at most; raise the limit (`ulimit -n`, or `LimitNOFILE=` of a systemd unit) to {}",
            wanted as u64 + databases + OTHERS
        );
    }
    possible.min(wanted)
}

fn affordable(limit: u64, databases: u64) -> usize {
    let left = limit.saturating_sub(databases.saturating_add(OTHERS)).max(FEWEST);
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_the_files_that_are_left() {
        assert_eq!(affordable(20_000, 192), 20_000 - 192 - 256 - Audit::MOST_FILES as usize);
        assert_eq!(affordable(256, 192), 16);
        assert_eq!(affordable(u64::MAX, u64::MAX), 16);
        let limit = raise_file_limit();
        assert_eq!(limit, getrlimit(Resource::Nofile).maximum);
    }
}
