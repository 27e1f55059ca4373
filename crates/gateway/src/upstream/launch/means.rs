//! What this system offers for keeping servers apart.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, Scope,
};

use super::{calls, folders};

/// How long it may take to try `bwrap`.
const TRYING: Duration = Duration::from_secs(5);

/// What keeps servers apart on this system.
#[derive(Debug)]
pub(crate) struct Means {
    /// The kernel's Landlock, for folders.
    pub(super) landlock: bool,
    /// Landlock for TCP ports.
    pub(super) ports: bool,
    /// Landlock for signals.
    pub(super) signals: bool,
    /// The kernel's filter of calls (seccomp).
    pub(super) calls: bool,
    /// The program `bwrap`, which gives a server a view of its own of the system.
    pub(super) bubblewrap: Option<PathBuf>,
    /// Whether the system tells the children of a process.
    pub(super) children: bool,
    /// The account.
    pub(super) root: bool,
}

impl Means {
    pub(super) fn of_this_system() -> Self {
        let bubblewrap = ["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"]
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.is_file() && works(path));
        // The thread that asks may be any, so the path of the first one is written out.
        let own = std::process::id();
        Self {
            landlock: folders_of(ABI::V3),
            ports: ports(),
            signals: scopes(),
            calls: calls::can_be_refused(),
            bubblewrap,
            children: PathBuf::from(format!("/proc/{own}/task/{own}/children")).exists(),
            root: rustix::process::geteuid().is_root(),
        }
    }

    /// Whether a server is kept to its folders by something else than the rights of the account.
    pub(crate) fn is_fenced(&self) -> bool {
        self.landlock || self.bubblewrap.is_some()
    }

    /// What is missing, for the operator.
    pub(crate) fn lacking(&self) -> Vec<&'static str> {
        let view = self.bubblewrap.is_some();
        let lacks = [
            (
                !self.is_fenced(),
                "nothing keeps a server from the files of other tenants but the rights of the account, since this \
                 kernel has no Landlock (Linux 6.2 and later) and `bwrap` is not there or does not work; install \
                 bubblewrap",
            ),
            (
                self.landlock && !view,
                "a server can connect to sockets in folders, such as a database's; and of files and folders of the \
                 account whose names it knows, other tenants' among them, it can change owner, mode, times and extended \
                 attributes, ask whether they exist, and watch the names of files that are made there, since `bwrap` is \
                 not there or does not work; install bubblewrap",
            ),
            (
                !self.signals && !view,
                "a server can send signals to other processes of the account, since this kernel's Landlock cannot \
                 prevent it (Linux 6.12 and later can)",
            ),
            (
                !self.ports,
                "a server can use all TCP ports, since this kernel's Landlock cannot prevent it (Linux 6.7 and later \
                 can)",
            ),
            (
                !self.calls && !view,
                "a server can set the limits of the account's other processes, the gateway's among them, which may end \
                 them, and share System V memory with them, since this system cannot refuse calls (seccomp, on x86_64 \
                 and aarch64); install bubblewrap",
            ),
            (
                !self.calls,
                "a server can listen on a port that it does not choose, use TCP by other names (MPTCP, TCP Fast Open), \
                 and keep memory that is not counted, since this system cannot refuse calls (seccomp, on x86_64 and \
                 aarch64)",
            ),
            (
                !self.children,
                "memory is limited for each process only, processes are not, and what leaves a server's process \
                 group may outlive it, since this kernel does not list children in /proc (CONFIG_PROC_CHILDREN)",
            ),
            (
                self.root,
                "they run as root, without privileges, as the gateway does; give it an account of its own",
            ),
        ];
        lacks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, text)| text).collect()
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.landlock, self.bubblewrap.is_some()) {
            (true, true) => "Landlock and bubblewrap",
            (true, false) => "Landlock",
            (false, true) => "bubblewrap",
            (false, false) => "the rights of the account",
        })?;
        if self.calls { f.write_str(", with seccomp") } else { Ok(()) }
    }
}

/// Whether `bwrap` can do here what is asked of it; many a container forbids it.
fn works(bubblewrap: &Path) -> bool {
    let mut command = Command::new(bubblewrap);
    command
        .args(folders::VIEW)
        .args(["--ro-bind", "/", "/", "true"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return false };
    let until = Instant::now() + TRYING;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(status)) => return status.success(),
            Err(_) => break,
        }
    }
    let _ended_already = child.kill();
    let _reaped = child.wait();
    false
}

/// Whether the kernel has Landlock in this version; nothing is restricted by asking.
fn folders_of(version: ABI) -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(version))
        .and_then(Ruleset::create)
        .is_ok()
}

fn scopes() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::from_all(ABI::V6))
        .and_then(Ruleset::create)
        .is_ok()
}

fn ports() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessNet::from_all(ABI::V4))
        .and_then(Ruleset::create)
        .is_ok()
}
