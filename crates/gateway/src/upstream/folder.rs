//! The folder of one tenant, in one life, for one upstream: private, and removed with the tenant.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Once,
};

use partywall_model::TenantId;
use rustix::fs::{Mode, OFlags};

use super::UpstreamError;
use crate::{
    admit::Incarnation,
    deletion,
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
    look_at_data(data_dir);
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

/// Refuses a link, and a folder of somebody else's. The account's own is made private again: where a server has no view of
/// its own of the system, another tenant's can have changed its mode.
fn own_folder(path: &Path) -> io::Result<()> {
    let not_ours = || io::Error::other(format!("{} is no folder of the server's own", path.display()));
    // A link is not followed, and what was opened stays the same whatever happens to its name.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(|_| not_ours())?;
    let found = rustix::fs::fstat(&folder)?;
    if found.st_uid != rustix::process::geteuid().as_raw() {
        return Err(not_ours());
    }
    if Mode::from_raw_mode(found.st_mode) != Mode::RWXU {
        rustix::fs::chmod(format!("/proc/self/fd/{}", folder.as_raw_fd()), Mode::RWXU)?;
    }
    Ok(())
}

/// Says once that other accounts can enter the data folder, where nothing but the modes of what is in it keeps them out.
fn look_at_data(data_dir: &Path) {
    static TOLD: Once = Once::new();
    let open = fs::metadata(data_dir).is_ok_and(|folder| folder.mode() & 0o077 != 0);
    if open {
        TOLD.call_once(|| {
            tracing::warn!(
                "`server.data_dir` ({}) can be entered by other accounts of the machine; `chmod 700` it, so that they are \
                 kept out whatever becomes of the modes of what is in it",
                data_dir.display()
            );
        });
    }
}

/// Deletes what earlier lives left: with tenants in a database, a removal deletes nothing on this machine.
fn leave_only(lives: &Path, own: &Path) -> io::Result<()> {
    for entry in fs::read_dir(lives)? {
        let path = entry?.path();
        if path != own {
            deletion::remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Another tenant's server can change the mode where it has no view of its own; this must not keep the tenant's from starting.
    #[test]
    fn a_folder_of_the_accounts_own_is_made_private_again_and_a_link_is_refused() {
        let root = tempfile::tempdir().expect("a folder");
        let (folder, link) = (root.path().join("folder"), root.path().join("link"));
        fs::create_dir(&folder).expect("a folder");
        symlink(&folder, &link).expect("a link");
        for mode in [0o755, 0o700, 0, 0o500] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("its mode");
            assert!(own_folder(&link).is_err());
            assert_eq!(fs::metadata(&folder).expect("a folder").mode() & 0o7777, mode);
            own_folder(&folder).expect("repaired");
            assert_eq!(fs::metadata(&folder).expect("a folder").mode() & 0o7777, 0o700);
        }
    }
}
