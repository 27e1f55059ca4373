//! What becomes a server: it gives up what a server must not have, and then runs the server's program in its place.

use std::{
    ffi::OsString,
    fs,
    io::{self, Write as _},
    os::unix::{fs::DirBuilderExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use nix::sys::signal::SigSet;
use rustix::{
    fs::{Access, Mode},
    process::{
        Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit, setsid, umask,
    },
    thread::{
        CapabilitySet, clear_ambient_capability_set, remove_capability_from_bounding_set, set_no_new_privs,
    },
};

use super::{
    calls, folders,
    plan::{self, Plan},
};
use crate::deletion;

/// The folder for temporary files, in the tenant's own one.
pub(super) const TEMPORARY: &str = ".tmp";
/// How much more a process may lay claim to than the server may use: much of what is claimed is never used.
const CLAIMED: u64 = 256 << 20;
/// Threads for each process that a server may have.
pub(super) const THREADS: u64 = 32;
/// Servers go before the gateway when memory runs out.
const OUT_OF_MEMORY_FIRST: &str = "500";

/// Runs the server's program; comes back only when it cannot.
pub(super) fn run(arguments: &[OsString]) -> ExitCode {
    match prepared(arguments) {
        Ok(mut command) => {
            if say(plan::READY).is_err() {
                return ExitCode::FAILURE;
            }
            let error = command.exec();
            let program = Path::new(command.get_program()).display().to_string();
            let _nobody_reads = writeln!(io::stderr(), "partywall: `{program}` does not start: {error}");
            ExitCode::from(126)
        }
        Err(why) => {
            let _nobody_reads = say(&format!("{}{why}", plan::REFUSED));
            ExitCode::FAILURE
        }
    }
}

/// Reports how the start went, on one line of the standard output.
pub(super) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.replace(['\n', '\r'], " "))?;
    out.flush()
}

fn prepared(arguments: &[OsString]) -> Result<Command, String> {
    let [plan, keeper] = arguments else { return Err("there is no plan".to_owned()) };
    let plan = plan.to_str().ok_or("the plan is not readable")?;
    let plan: Plan = serde_json::from_str(plan).map_err(|_| "the plan is not readable")?;
    let keeper = keeper.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    detach(keeper)?;
    umask(Mode::RWXG | Mode::RWXO);
    let program = find(&plan)?;
    check_folder(&plan.folder)?;
    // What a view of its own does not have was looked for before.
    let unread: Vec<&String> = match plan.bubblewrap {
        Some(_) => plan.named.iter().collect(),
        None => there(&plan.args).collect(),
    };
    limit(&plan).map_err(|error| format!("its limits cannot be set: {error}"))?;
    give_up_privileges().map_err(|error| format!("its privileges cannot be given up: {error}"))?;
    if plan.landlock {
        folders::restrict(&plan, &program)?;
    }
    if let Some(path) = unread.into_iter().find(|path| !readable(path)) {
        return Err(format!(
            "it may not read `{path}`; list the folder that it is in among those it may read"
        ));
    }
    fresh_temporary(&plan.folder)?;
    std::env::set_current_dir(&plan.folder)
        .map_err(|error| format!("its folder `{}` cannot be entered: {error}", plan.folder.display()))?;
    // Whoever started the gateway, or the keeper, may have blocked some.
    SigSet::all().thread_unblock().map_err(|error| format!("signals cannot be let through: {error}"))?;
    // The last thing: some of what is done above is refused from here on.
    if plan.calls {
        calls::refuse(&plan)?;
    }
    let mut command = Command::new(program);
    command.args(&plan.args);
    Ok(command)
}

/// A session and a process group of its own, which ends with the keeper.
fn detach(keeper: Option<Pid>) -> Result<(), String> {
    let gone = || "its keeper has ended".to_owned();
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|_| gone())?;
    // The keeper may have ended before that.
    if keeper.is_none() || getppid() != keeper {
        return Err(gone());
    }
    setsid().map(drop).map_err(|error| format!("it gets no session of its own: {error}"))
}

/// The program's file.
pub(super) fn find(plan: &Plan) -> Result<PathBuf, String> {
    let program = plan.program.as_str();
    let runs = |file: &Path| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        let file = PathBuf::from(program);
        return match (runs(&file), file.exists()) {
            _ if !file.is_absolute() => {
                Err(format!("`{program}` is a relative path; write the whole path, or a name that PATH has"))
            }
            (true, _) => Ok(file),
            (false, true) => Err(format!("`{program}` is not an executable file, or not for this account")),
            (false, false) => Err(format!("there is no program `{program}`")),
        };
    }
    let mut there = None;
    for folder in std::env::split_paths(&plan.path).filter(|folder| folder.is_absolute()) {
        let file = folder.join(program);
        if runs(&file) {
            return Ok(file);
        }
        there = there.or_else(|| file.exists().then_some(file));
    }
    Err(match there {
        Some(file) => format!("`{}` is not an executable file, or not for this account", file.display()),
        None => format!(
            "there is no program `{program}` in its PATH, `{}`; write the whole path, or set `PATH` in its `env`",
            plan.path
        ),
    })
}

fn check_folder(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    if !folder.is_dir() {
        return Err(format!("its folder `{shown}` is not there"));
    }
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|_| format!("its folder `{shown}` is not writable for the gateway's account"))
}

/// The arguments that are files or folders, and can be read.
pub(super) fn there(args: &[String]) -> impl Iterator<Item = &String> {
    args.iter().filter(|arg| arg.starts_with('/') && readable(arg))
}

/// Whether it is there and may be read. A pipe would be waited at.
fn readable(path: impl AsRef<Path>) -> bool {
    let path = path.as_ref();
    path.metadata().is_ok_and(|entry| entry.is_file() || entry.is_dir()) && fs::File::open(path).is_ok()
}

/// An empty folder for temporary files, made within the fence, so that a link that the server left leads nowhere.
fn fresh_temporary(folder: &Path) -> Result<(), String> {
    let temporary = folder.join(TEMPORARY);
    let removed = match deletion::remove(&temporary) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed
        .and_then(|()| fs::DirBuilder::new().mode(0o700).create(&temporary))
        .map_err(|error| format!("`{}` cannot be made anew: {error}", temporary.display()))
}

/// Limits of each process; the keeper watches over all of them together.
///
/// Not `RLIMIT_AS`: V8 and others reserve many gigabytes of addresses. `RLIMIT_DATA` counts what can be written, used or not,
/// so it only stops what would be too much before the keeper looks again. `RLIMIT_NPROC` counts the threads of the account, so one
/// tenant's would keep another's server from starting, but for the account within a view of its own, which is another one to
/// the kernel (Linux 5.14 and later) unless it is root.
fn limit(plan: &Plan) -> io::Result<()> {
    let claimed = plan.memory.saturating_mul(2).saturating_add(CLAIMED);
    let own_account = plan.bubblewrap.is_some() && !rustix::process::getuid().is_root();
    let threads = if own_account { u64::from(plan.processes).saturating_mul(THREADS) } else { u64::MAX };
    let limits = [
        (Resource::Nproc, threads),
        (Resource::Data, claimed),
        (Resource::Nofile, plan.open_files),
        (Resource::Fsize, plan.file_size),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        // Without privileges, a limit cannot be raised above the one there is.
        let most = rustix::process::getrlimit(resource).maximum.map_or(most, |held| held.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    let _not_everywhere = fs::write("/proc/self/oom_score_adj", OUT_OF_MEMORY_FIRST);
    Ok(())
}

/// Programs gain nothing by being run, and root is an account like others.
fn give_up_privileges() -> io::Result<()> {
    let _none = clear_ambient_capability_set();
    for capability in CapabilitySet::all().iter() {
        // An account without privileges may not, and has nothing to give up.
        let _refused = remove_capability_from_bounding_set(capability);
    }
    set_no_new_privs(true)?;
    Ok(())
}
