//! The parent of a server: it starts it, watches over what it uses, and leaves nothing behind.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        DumpableBehavior, Pid, PidfdFlags, WaitStatus, getpid, pidfd_open, set_child_subreaper,
        set_dumpable_behavior,
    },
};
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    confine::{self, THREADS},
    entry, folders,
    plan::{self, Plan, Told},
    processes,
};

/// How often it is looked at what the server uses.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// How long killing everything may take.
const KILLING: Duration = Duration::from_secs(5);
/// The largest message with a plan.
const LARGEST_PLAN: u32 = 1 << 20;

/// Starts a server and stays until it has ended; gives its status.
pub(super) fn run() -> ExitCode {
    match start() {
        Ok((plan, server, stop)) => watch(&plan, server, &stop),
        Err(why) => {
            let _nobody_reads = confine::say(&format!("{}{why}", plan::REFUSED));
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(Plan, Pid, SignalFd), String> {
    let failed = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    close_inherited().map_err(failed("open files cannot be listed"))?;
    // Other processes of the account must not look into this one.
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    hidden.map_err(|error| failed("the keeper cannot be hidden")(error.into()))?;
    let own = getpid();
    set_child_subreaper(Some(own)).map_err(|error| failed("orphans cannot be kept")(error.into()))?;
    let stop = signals().map_err(|error| failed("signals cannot be read")(error.into()))?;
    let mut told = told().map_err(failed("the plan cannot be read"))?;
    let mut command = launcher(&mut told)?;
    let written = serde_json::to_string(&told.plan).map_err(|_| "the plan cannot be passed on")?;
    // In a view of its own, the parent is the first of its processes.
    let parent = if told.plan.bubblewrap.is_some() { 1 } else { own.as_raw_nonzero().get() };
    command.arg(entry::SERVER).arg(written).arg(parent.to_string());
    command.env_clear().env("PATH", &told.plan.path).env("LANG", "C.UTF-8");
    command.envs(told.env.iter().map(|(name, value)| (name, value)));
    command.env("HOME", &told.plan.folder).env("TMPDIR", told.plan.folder.join(confine::TEMPORARY));
    let child = command.spawn().map_err(failed("no process can be started"))?;
    for (_, value) in &mut told.env {
        value.zeroize();
    }
    let server = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("a process has no number")?;
    Ok((told.plan, server, stop))
}

/// This program, to be started once more, in a view of its own of the system where that can be had.
fn launcher(told: &mut Told<Plan, String>) -> Result<Command, String> {
    let Some(bubblewrap) = told.plan.bubblewrap.clone() else { return Ok(Command::new("/proc/self/exe")) };
    let program = confine::find(&told.plan)?;
    told.plan.named = confine::there(&told.plan.args).cloned().collect();
    let launcher = fs::read_link("/proc/self/exe").ok().filter(|path| path.exists());
    let launcher = launcher.ok_or("the gateway's own program file was replaced; restart the gateway")?;
    let mut command = Command::new(bubblewrap);
    command.args(folders::view(&told.plan, &program, launcher));
    Ok(command)
}

/// Closes what whoever started the gateway left open for its children; the gateway's own files are closed already.
fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // That of the list itself is closed already.
        let _closed_already = nix::unistd::close(number);
    }
    Ok(())
}

fn signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

/// The plan from the standard input, and not a byte of what follows it, which is the server's.
fn told() -> io::Result<Told<Plan, String>> {
    let mut input = Unbuffered;
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LARGEST_PLAN {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or_default()]);
    input.read_exact(&mut text)?;
    // The parser's message may quote the text.
    serde_json::from_slice(&text).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The standard input, of which the library's own type would read ahead.
struct Unbuffered;

impl io::Read for Unbuffered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin().as_fd(), buffer)?)
    }
}

/// Why the server has to end.
enum End {
    /// It ended.
    Itself,
    /// The gateway wants it to, or is gone.
    Asked,
    /// It uses too much.
    Over(String),
}

fn watch(plan: &Plan, server: Pid, stop: &SignalFd) -> ExitCode {
    let mut status = None;
    let end = wait_for_end(plan, server, stop, &mut status);
    let killed = processes::kill_all(server, Instant::now() + KILLING);
    match end {
        End::Over(what) => {
            let _nobody_reads = writeln!(io::stderr(), "partywall: the server was ended, since {what}");
            ExitCode::from(137)
        }
        End::Asked => ExitCode::from(143),
        End::Itself => status.or(killed).map_or(ExitCode::FAILURE, code),
    }
}

/// The status that a shell would give.
fn code(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn wait_for_end(plan: &Plan, server: Pid, stop: &SignalFd, status: &mut Option<WaitStatus>) -> End {
    let Ok(process) = pidfd_open(server, PidfdFlags::empty()) else { return End::Itself };
    let (input, output) = (io::stdin(), io::stdout());
    let grace = Duration::from_millis(plan.grace_ms.min(60_000));
    // When the server has to have ended, once its input has.
    let mut ends: Option<Instant> = None;
    loop {
        let mut polled = vec![
            PollFd::new(&process, PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
            // Nobody reads any more.
            PollFd::new(&output, PollFlags::empty()),
        ];
        if ends.is_none() {
            // Nobody writes any more.
            polled.push(PollFd::new(&input, PollFlags::empty()));
        }
        match poll(&mut polled, Some(&TICK)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return End::Asked,
        }
        let happened = |place: usize| polled.get(place).is_some_and(|fd| !fd.revents().is_empty());
        if happened(0) {
            return End::Itself;
        }
        if happened(1) || happened(2) || ends.is_some_and(|ends| Instant::now() >= ends) {
            return End::Asked;
        }
        if happened(3) {
            ends = Some(Instant::now() + grace);
        }
        let (ended, _) = processes::reap(server);
        if ended.is_some() {
            *status = ended;
            return End::Itself;
        }
        if let Some(what) = over(plan) {
            return End::Over(what);
        }
    }
}

/// What the server uses too much of, if anything.
fn over(plan: &Plan) -> Option<String> {
    let used = processes::used();
    // The two that make a view of its own are not the server's.
    let processes = u64::from(plan.processes) + if plan.bubblewrap.is_some() { 2 } else { 0 };
    if used.memory > plan.memory {
        Some(format!(
            "its processes used {} bytes of memory, which is more than {}",
            used.memory, plan.memory
        ))
    } else if used.processes > processes {
        Some(format!("it had {} processes, which is more than {processes}", used.processes))
    } else if used.threads > processes.saturating_mul(THREADS) {
        Some(format!("its processes had {} threads, which is more than {THREADS} for each", used.threads))
    } else {
        None
    }
}
