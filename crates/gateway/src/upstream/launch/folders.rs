//! Which folders a server reaches: the system's, to read, and its own.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{installed, plan::Plan};

/// What programs need of a system to run and to use the network. Not all of `/etc`: configurations stand there, the
/// gateway's own perhaps. Not all of `/proc`: the command lines of other tenants' servers stand there.
pub(in crate::upstream) const READABLE: [&str; 43] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
];
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// What may be read: what programs need, what the configuration adds, and what belongs to the program.
fn readable(plan: &Plan, program: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = READABLE.iter().map(PathBuf::from).collect();
    paths.extend(plan.readable.iter().cloned());
    // Those of its PATH may be installed elsewhere too, each with folders beside it.
    for folder in std::env::split_paths(&plan.path).filter(|folder| folder.is_absolute()) {
        paths.extend(installed::beside(&folder));
    }
    paths.extend(installed::files(program).flat_map(|file| installed::belonging(&file).collect::<Vec<_>>()));
    paths
}

/// Keeps this process, and what it starts, to these folders, and its signals to itself, for good.
pub(super) fn restrict(plan: &Plan, program: &Path) -> Result<(), String> {
    let enforced = landlock(plan, program).map_err(|error| format!("Landlock cannot be set up: {error}"))?;
    if enforced { Ok(()) } else { Err("Landlock is not there any more".to_owned()) }
}

fn landlock(plan: &Plan, program: &Path) -> Result<bool, RulesetError> {
    let version = ABI::V9;
    let read = AccessFs::from_read(version);
    // Its own entry, whose number stays the same when the server's program takes this one's place.
    let own = PathBuf::from(format!("/proc/{}", std::process::id()));
    // In a view of its own there are no other tenants' processes. Nothing else there is written to: the settings of the
    // kernel ask for the account only, and not for privileges.
    let processes = plan.bubblewrap.as_ref().map(|_| PathBuf::from("/proc"));
    let mut ports: BitFlags<AccessNet> = BitFlags::EMPTY;
    if !plan.listen {
        ports |= AccessNet::BindTcp;
    }
    if plan.connect.is_some() {
        ports |= AccessNet::ConnectTcp;
    }
    let mut rules =
        Ruleset::default().handle_access(AccessFs::from_all(version))?.scope(Scope::from_all(version))?;
    if !ports.is_empty() {
        rules = rules.handle_access(ports)?;
    }
    let connect = plan.connect.iter().flatten().map(|port| Ok(NetPort::new(*port, AccessNet::ConnectTcp)));
    let status = rules
        .create()?
        .add_rules(path_beneath_rules(readable(plan, program), read))?
        .add_rules(path_beneath_rules(processes, read))?
        .add_rules(path_beneath_rules([own], read | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules([&plan.folder], AccessFs::from_all(version)))?
        .add_rules(connect.collect::<Vec<Result<_, RulesetError>>>())?
        .restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// How `bwrap` is asked for a view of its own: processes, and an end with whoever asked.
///
/// Root is asked for no privilege when it writes the kernel's settings, so they are there to be read only.
pub(super) const VIEW: [&str; 23] = [
    "--die-with-parent",
    "--unshare-pid",
    "--unshare-ipc",
    "--unshare-uts",
    "--proc",
    "/proc",
    "--ro-bind-try",
    "/proc/sys",
    "/proc/sys",
    "--ro-bind-try",
    "/proc/sysrq-trigger",
    "/proc/sysrq-trigger",
    "--ro-bind-try",
    "/proc/irq",
    "/proc/irq",
    "--ro-bind-try",
    "/proc/bus",
    "/proc/bus",
    "--ro-bind-try",
    "/proc/fs",
    "/proc/fs",
    "--dev",
    "/dev",
];
/// Where this program stands in that view.
pub(super) const LAUNCHER: &str = "/partywall";

/// The arguments of `bwrap` that come before what it runs: a system of what may be reached and nothing else.
pub(super) fn view(plan: &Plan, program: &Path, launcher: PathBuf) -> Vec<PathBuf> {
    let mut shown: Vec<PathBuf> = Vec::new();
    for path in readable(plan, program).into_iter().filter(|path| !path.starts_with("/proc")) {
        // What is in a folder that is there already needs no place of its own, and a link there cannot have one.
        if !shown.iter().any(|folder| path.starts_with(folder)) && path.exists() {
            shown.push(path);
        }
    }
    let mut view: Vec<PathBuf> = VIEW.iter().map(PathBuf::from).collect();
    for path in shown {
        view.extend(["--ro-bind-try".into(), path.clone(), path]);
    }
    let folder = &plan.folder;
    view.extend(["--bind".into(), folder.clone(), folder.clone()]);
    view.extend(["--ro-bind".into(), launcher, LAUNCHER.into()]);
    // What is written to a folder that is none of the disk is in memory, which nobody would count.
    view.extend(["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"].map(PathBuf::from));
    view.push(LAUNCHER.into());
    view
}
