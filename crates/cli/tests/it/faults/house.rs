//! A served configuration with two tenants in it: a folder, a process, tokens, and what the process uses.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use partywall_gateway::{
    Gateway,
    clock::Clock,
    config::Config,
    guards::{credentials::SecretName, identity::DevelopmentIssuer},
};
use partywall_model::TenantId;
use secrecy::{ExposeSecret, SecretString};

use super::wire::{Answer, Ask, Conn};
use crate::support::partywall;

/// The two neighbours. What goes wrong goes wrong for the first.
pub(super) const FAULTY: &str = "acme";
pub(super) const OTHER: &str = "globex";

const CONFIG: &str = include_str!("house.toml");

const MIGRATION: &str = "
CREATE TABLE tickets (id INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT;
CREATE TABLE comments (id INTEGER PRIMARY KEY, ticket_id INTEGER NOT NULL REFERENCES tickets (id), body TEXT NOT NULL) STRICT;
CREATE TABLE pages (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
";

/// How a house differs from the usual one.
#[derive(Default)]
pub(super) struct Plan {
    /// Goes into `[server]`.
    pub(super) server: &'static str,
    /// `[capacity]`; without it there is room for everything.
    pub(super) capacity: Option<&'static str>,
    /// The service behind the HTTP tools.
    pub(super) upstream: Option<SocketAddr>,
}

pub(super) struct House {
    folder: tempfile::TempDir,
    tokens: BTreeMap<String, String>,
    process: Option<Process>,
}

struct Process {
    child: Child,
    address: SocketAddr,
    said: Arc<Said>,
    /// Whether it was started by another program, which leads a group of processes of its own: the server is its child.
    leads: bool,
}

/// What the process said on standard error.
#[derive(Default)]
struct Said {
    text: Mutex<String>,
    more: Condvar,
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        if self.leads {
            let group = format!("-{}", self.child.id());
            let _ended = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// In memory where the system has such a folder: a killed process loses no more there than on a disk.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl House {
    /// A house that is furnished and served.
    pub(super) fn open(plan: &Plan) -> Self {
        let mut house = Self::furnished(plan);
        house.start();
        house
    }

    /// A house that nobody serves yet.
    pub(super) fn furnished(plan: &Plan) -> Self {
        let mut house = Self::empty(plan);
        house.furnish_all();
        house
    }

    /// A house without tenants.
    pub(super) fn empty(plan: &Plan) -> Self {
        let folder = folder();
        fs::create_dir(folder.path().join("migrations")).unwrap();
        fs::write(folder.path().join("migrations/1_tickets.sql"), MIGRATION).unwrap();
        let roomy = "requests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 1000\n";
        let upstream = plan.upstream.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9)));
        let text = CONFIG
            .replace("# SERVER", plan.server)
            .replace("# CAPACITY", plan.capacity.unwrap_or(roomy))
            .replace("UPSTREAM", &upstream.to_string());
        fs::write(folder.path().join("partywall.toml"), text).unwrap();
        Self { folder, tokens: BTreeMap::new(), process: None }
    }

    pub(super) fn furnish_all(&mut self) {
        for tenant in [FAULTY, OTHER] {
            self.furnish(tenant);
        }
    }

    /// The same house once more, in a folder of its own and not served.
    pub(super) fn copy(&self) -> Self {
        let folder = folder();
        super::replicas::copy_folder(self.path(), folder.path());
        Self { folder, tokens: self.tokens.clone(), process: None }
    }

    /// Adds a tenant with data, a key and a token.
    pub(super) fn furnish(&mut self, tenant: &str) {
        let config = Config::load(&self.config()).unwrap();
        let gateway = Gateway::builder(config).open().unwrap();
        let stores = gateway.administration();
        let record = stores.registry.add(&TenantId::parse(tenant).unwrap()).unwrap();
        let mut seed = String::new();
        for n in 1..=10 {
            seed.push_str(&format!("INSERT INTO tickets VALUES ({n}, 'ticket {n} of {tenant}');\n"));
        }
        seed.push_str("INSERT INTO pages VALUES (1, hex(zeroblob(200000)));\n");
        stores.sources.setup(&record.id, record.incarnation, "desk", &seed).unwrap();
        let key = SecretString::from(format!("key-of-{tenant}"));
        stores.vault.set(&record, &SecretName::parse("crm").unwrap(), key).unwrap();
        let config = gateway.config();
        let issuer = DevelopmentIssuer::open_or_create(&config.data_dir(), &config.resource()).unwrap();
        let day = Duration::from_secs(86_400);
        let token = issuer.mint_for(&record, "user", "", day, &Clock::system()).unwrap();
        self.tokens.insert(tenant.to_owned(), token.expose_secret().to_owned());
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path().join("partywall.toml")
    }

    /// A file of the data folder.
    pub(super) fn data(&self, name: &str) -> PathBuf {
        self.path().join("data").join(name)
    }

    pub(super) fn file_of(&self, tenant: &str) -> PathBuf {
        self.data("tenants").join(tenant).join("desk.sqlite")
    }

    pub(super) fn token(&self, tenant: &str) -> &str {
        &self.tokens[tenant]
    }

    /// Starts the server and waits until it listens.
    pub(super) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// The same by another program, which takes the command as its last arguments.
    pub(super) fn start_with(&mut self, program: &[&str]) {
        let own = partywall(&["serve"]);
        let mut command = match program {
            [] => own,
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own.get_program()).args(own.get_args()).env("NO_COLOR", "1");
                command.process_group(0);
                command
            }
        };
        let mut child = command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Said::default());
        let (stderr, heard) = (child.stderr.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.text.lock().unwrap().push_str(&(line + "\n"));
                heard.more.notify_all();
            }
        });
        let leads = !program.is_empty();
        let process = Process { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), said, leads };
        self.process = Some(process);
        let line = self.wait_for_words("MCP at http://");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
        self.process.as_mut().unwrap().address = address.parse().unwrap();
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.process().address
    }

    /// What the process said so far.
    pub(super) fn said(&self) -> String {
        self.process().said.text.lock().unwrap().clone()
    }

    /// Waits for a line with these words.
    #[track_caller]
    pub(super) fn wait_for_words(&self, words: &str) -> String {
        let said = &self.process().said;
        let (text, late) = said
            .more
            .wait_timeout_while(said.text.lock().unwrap(), Duration::from_secs(30), |text| {
                !text.contains(words)
            })
            .unwrap();
        assert!(!late.timed_out(), "it never said `{words}`: {text}");
        text.lines().find(|line| line.contains(words)).unwrap().to_owned()
    }

    /// Sends a signal to the process.
    pub(super) fn signal(&self, name: &str) {
        let id = self.process().child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Ends the process at once; what it has written the system keeps.
    pub(super) fn kill(&mut self) {
        self.process = None;
    }

    /// Whether the process is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        self.process.as_mut().unwrap().child.try_wait().unwrap().is_none()
    }

    pub(super) fn connect(&self) -> Conn {
        Conn::open(self.address()).unwrap()
    }

    /// Calls a tool for a tenant, on a connection of its own.
    pub(super) fn call(&self, tenant: &str, tool: &str, arguments: &serde_json::Value) -> Answer {
        self.connect().ask(&Ask::call(self.token(tenant), tool, arguments)).unwrap()
    }

    /// Runs the command in this house; it must succeed.
    pub(super) fn run(&self, arguments: &[&str]) -> String {
        crate::support::ok(self.path(), arguments, "")
    }

    fn status(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process().child.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1024
    }

    /// The last line of a tenant's audit log, to say more about a failure.
    pub(super) fn audit(&self, tenant: &str) -> String {
        let text = fs::read_to_string(self.data("audit").join(format!("{tenant}.jsonl")));
        text.unwrap_or_default().lines().last().unwrap_or_default().to_owned()
    }

    /// How many sockets the process has open.
    pub(super) fn sockets(&self) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.process().child.id())).unwrap();
        let targets = folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// How many MiB the process' memory grew by at its largest while `work` ran.
    pub(super) fn growth<T>(&self, what: &str, most: u64, work: impl FnOnce() -> T) -> T {
        let before = self.status("VmRSS");
        // Sets the mark of the largest size back to the present one.
        fs::write(format!("/proc/{}/clear_refs", self.process().child.id()), "5").unwrap();
        let done = work();
        let grown = self.status("VmHWM").saturating_sub(before);
        figure(&format!("{what}: {grown} MiB of at most {most}, from {before} MiB"));
        assert!(grown <= most, "{what} took {grown} MiB of memory; {most} are allowed");
        done
    }
}

/// Prints a figure where they are wanted.
pub(super) fn figure(text: &str) {
    let wanted = std::env::var_os("PARTYWALL_FIGURES").is_some();
    if wanted {
        let _closed = writeln!(std::io::stderr(), "figure: {text}");
    }
}

/// Waits for something that must come, looking again and again.
#[track_caller]
pub(super) fn wait_until(what: &str, mut come: impl FnMut() -> bool) {
    let since = Instant::now();
    while !come() {
        assert!(since.elapsed() < Duration::from_secs(30), "it never came: {what}");
        std::thread::yield_now();
    }
}
