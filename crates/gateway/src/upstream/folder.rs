//! The folder of one tenant, in one life, for one upstream: private, and removed with the tenant.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use partywall_model::TenantId;

use super::UpstreamError;
use crate::{
    admit::Incarnation,
    tenants::{Registry, tenant_dir},
};

/// Makes the folder where there is none; may block.
pub(super) fn make(
    registry: &Registry,
    data_dir: &Path,
    tenant: &TenantId,
    life: Incarnation,
    upstream: &str,
) -> Result<PathBuf, UpstreamError> {
    let made = registry.while_it_lives(tenant, life, false, || {
        let lives = tenant_dir(data_dir, tenant).join("upstreams");
        let own = lives.join(life.0.to_string());
        let folder = own.join(upstream);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        for part in [&lives, &own, &folder] {
            own_folder(part)?;
        }
        leave_only(&lives, &own)?;
        fs::canonicalize(&folder)
    });
    let failed = |why: &dyn std::fmt::Display| {
        UpstreamError::Unreachable(format!("its folder in `server.data_dir` cannot be made: {why}"))
    };
    match made {
        Ok(Some(Ok(folder))) => Ok(folder),
        Ok(Some(Err(error))) => Err(failed(&error)),
        Ok(None) => Err(UpstreamError::Gone),
        Err(error) => Err(failed(&error)),
    }
}

/// Refuses a link, and a folder of somebody else's.
fn own_folder(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    if ours && found.mode() & 0o077 == 0 {
        return Ok(());
    }
    let why = format!("{} is no private folder of the server's own", path.display());
    Err(io::Error::other(why))
}

/// Deletes what earlier lives left: with tenants in a database, a removal deletes nothing on this machine.
fn leave_only(lives: &Path, own: &Path) -> io::Result<()> {
    for entry in fs::read_dir(lives)? {
        let path = entry?.path();
        if path != own {
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}
