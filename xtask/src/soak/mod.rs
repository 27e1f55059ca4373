//! `cargo xtask soak`: everything at once for a while. Nothing may grow, and no reply may hold another tenant's value.
//!
//! Real processes: a release server, commands that suspend, resume, add and remove tenants and renew tokens meanwhile,
//! an upstream for the HTTP tool, and callers that read, write, fail, go over their limits and hang up.

mod callers;
mod upstream;
mod watch;

use std::{
    fs,
    process::Command,
    sync::{
        RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use self::{callers::Caller, upstream::Upstream, watch::Watch};
use crate::{
    bench::{Verdicts, site::Site},
    client::Client,
    proc,
    process::{must, output, output_with_input},
    test::built,
    tools::fresh_folder,
};

/// Tenants with callers all the time. The first is suspended now and then, the last goes over its limit.
const TENANTS: usize = 6;
/// Between two acts of the administration.
const ACT: Duration = Duration::from_millis(1500);

const MIGRATION: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT NOT NULL, rank INTEGER NOT NULL CHECK (rank >= 0)) STRICT;";

const CONFIG: &str = r#"
[capacity]
requests_per_second = 150
burst = 150
concurrent_requests = 16
[audit]
max_file_bytes = "256KiB"
[data.desk]
driver = "sqlite"
migrations = "migrations"
max_open_files = 16
[[tool]]
name = "whoami"
description = "Who is calling."
native = "whoami"
[[tool]]
name = "list_notes"
description = "The newest notes."
source = "desk"
sql = "SELECT id, body, rank FROM notes ORDER BY id DESC LIMIT 20"
[[tool]]
name = "find_notes"
description = "Notes with a word."
source = "desk"
sql = "SELECT id, body FROM notes WHERE body LIKE '%' || :word || '%' LIMIT 5"
args.word = { type = "string", max_length = 50 }
[[tool]]
name = "add_note"
description = "Adds a note."
source = "desk"
writes = true
sql = "INSERT INTO notes (body, rank) VALUES (:body, :rank) RETURNING id, body"
args.body = { type = "string", max_length = 500 }
args.rank = { type = "integer" }
[[tool]]
name = "trim_notes"
description = "Deletes all but the newest notes."
source = "desk"
writes = true
sql = "DELETE FROM notes WHERE id <= (SELECT max(id) FROM notes) - 100"
[[tool]]
name = "count_far"
description = "Takes long."
source = "desk"
timeout = "400ms"
sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n"
[[tool]]
name = "profile"
description = "From the upstream."
http = { method = "GET", url = "http://UPSTREAM/v1/{name}" }
auth = { bearer = "secret:upstream_key" }
owner = { pointer = "/owner", equals = "tenant" }
cache = { ttl = "2s" }
args.name = { type = "string", min_length = 1, max_length = 20 }
[http]
allow_private = ["UPSTREAM"]
"#;

/// One tenant and what only its replies may hold.
pub(crate) struct Tenant {
    id: String,
    canary: String,
    token: RwLock<String>,
    /// Odd from before the tenant is suspended until after it is resumed.
    suspensions: AtomicU64,
}

impl Tenant {
    fn token(&self) -> String {
        self.token.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// What went on.
#[derive(Default)]
pub(crate) struct Tally {
    stop: AtomicBool,
    calls: AtomicU64,
    served: AtomicU64,
    errors: AtomicU64,
    over_limit: AtomicU64,
    suspended: AtomicU64,
    hung_up: AtomicU64,
    reconnected: AtomicU64,
    /// The first thing that is wrong.
    wrong: RwLock<Option<String>>,
}

impl Tally {
    fn wrong(&self, what: String) {
        let mut wrong = self.wrong.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        wrong.get_or_insert(what);
        self.stop.store(true, Relaxed);
    }

    fn found_wrong(&self) -> Option<String> {
        self.wrong.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

pub(crate) fn run(options: &[&str]) -> Result<bool> {
    let minutes: f64 = match options {
        [] => 30.0,
        ["--minutes", number] => number.parse().context("--minutes needs a number")?,
        _ => bail!("unknown option; there is --minutes N"),
    };
    ensure!(minutes >= 0.5, "at least half a minute: shorter runs show nothing");
    let time = Duration::from_secs_f64(minutes * 60.0);
    let results = built()?.join("..").canonicalize()?;
    let folder = fresh_folder(results.join("xtask/soak"))?;
    must(
        Command::new("cargo").args(["build", "--release", "--package", "partywall"]),
        Duration::from_secs(3600),
    )?;

    let upstream = Upstream::start()?;
    let config = CONFIG.replace("UPSTREAM", &upstream.address.to_string());
    let site = Site::new(&results.join("release/partywall"), folder.clone(), &config)?;
    fs::create_dir(folder.join("migrations"))?;
    fs::write(folder.join("migrations/0001_notes.sql"), MIGRATION)?;
    let tenants: Vec<Tenant> =
        (0..TENANTS).map(|n| tenant(&site, &format!("tenant-{n}"))).collect::<Result<_>>()?;
    let first = tenants.first().map(Tenant::token).unwrap_or_default();
    let (server, _) = site.serve_anywhere(&first)?;

    let tally = Tally::default();
    let mut watch = Watch::new(time);
    let mut acts = Acts::default();
    let ended: Result<()> = std::thread::scope(|scope| {
        for (n, tenant) in tenants.iter().enumerate() {
            for caller in 0..2 {
                let pace = Duration::from_millis(if n + 1 == TENANTS { 0 } else { 20 });
                let caller = Caller {
                    address: site.address,
                    tenant,
                    tally: &tally,
                    pace,
                    seed: n as u64 * 2 + caller,
                };
                scope.spawn(move || caller.run());
            }
        }
        let ended = administer(&site, &tenants, &tally, server.id(), &mut watch, &mut acts);
        tally.stop.store(true, Relaxed);
        ended
    });
    ended?;
    // Ends with an error when a line is missing or was changed.
    output(&mut site.command(&["audit", "verify"])).context("the audit logs are not whole")?;
    report(&tally, &acts, &watch, minutes)
}

/// Adds a tenant with its key; its canary is in its key, its notes and what the upstream says of it.
fn tenant(site: &Site, id: &str) -> Result<Tenant> {
    let ids = [id.to_owned()];
    site.add_tenants(&ids)?;
    let key = upstream::key_of(id);
    output_with_input(&mut site.command(&["secret", "set", id, "upstream_key"]), &site.folder, &key)?;
    let token = site.tokens(&ids)?.pop().context("no token")?;
    Ok(Tenant {
        id: id.to_owned(),
        canary: upstream::canary_of(id),
        token: RwLock::new(token),
        suspensions: AtomicU64::new(0),
    })
}

/// What the administration did.
#[derive(Default)]
struct Acts {
    suspended: u64,
    renewed: u64,
    added_and_removed: u64,
    hangups: Option<u64>,
}

/// Watches the server and changes tenants until the time is over.
fn administer(
    site: &Site,
    tenants: &[Tenant],
    tally: &Tally,
    server: u32,
    watch: &mut Watch,
    acts: &mut Acts,
) -> Result<()> {
    if proc::catches_hangup(server)? {
        acts.hangups = Some(0);
    }
    let mut next_act = Instant::now();
    let mut turn = 0_u64;
    while !watch.is_over() && !tally.stop.load(Relaxed) {
        watch.look(server)?;
        std::thread::sleep(Duration::from_millis(100));
        if Instant::now() < next_act {
            continue;
        }
        next_act = Instant::now() + ACT;
        turn += 1;
        match (turn % 4, tenants) {
            (0, [first, ..]) => {
                suspend_and_resume(site, first, tally)?;
                acts.suspended += 1;
            }
            (1 | 3, _) => {
                come_and_go(site, turn, tally)?;
                acts.added_and_removed += 1;
            }
            _ => {
                if let Some(tenant) = tenants.get(turn as usize / 4 % TENANTS) {
                    let fresh = site.tokens(std::slice::from_ref(&tenant.id))?.pop().context("no token")?;
                    *tenant.token.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
                    acts.renewed += 1;
                }
            }
        }
        if let Some(hangups) = acts.hangups.as_mut().filter(|_| turn.is_multiple_of(10)) {
            must_quietly(Command::new("kill").args(["-HUP", &server.to_string()]))?;
            *hangups += 1;
        }
    }
    Ok(())
}

fn must_quietly(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// A suspended tenant is refused from the very next call on, and served again once it is resumed.
fn suspend_and_resume(site: &Site, tenant: &Tenant, tally: &Tally) -> Result<()> {
    tenant.suspensions.fetch_add(1, Relaxed);
    must_quietly(&mut site.command(&["tenant", "suspend", &tenant.id]))?;
    let reply = Client::connect(site.address)?.call(&tenant.token(), "whoami", "{}")?;
    if reply.status != 401 {
        tally.wrong(format!("a suspended tenant is answered: {} {}", reply.status, reply.body));
    }
    must_quietly(&mut site.command(&["tenant", "resume", &tenant.id]))?;
    let reply = Client::connect(site.address)?.call(&tenant.token(), "whoami", "{}")?;
    if !matches!(reply.status, 200 | 429) {
        tally.wrong(format!("a resumed tenant is refused: {} {}", reply.status, reply.body));
    }
    tenant.suspensions.fetch_add(1, Relaxed);
    Ok(())
}

/// A tenant is added, calls, and is removed; its next life, with the same id, finds nothing of it.
fn come_and_go(site: &Site, turn: u64, tally: &Tally) -> Result<()> {
    let guest = tenant(site, &format!("guest-{}", turn % 5))?;
    let mut client = Client::connect(site.address)?;
    let found = client.call(&guest.token(), "list_notes", "{}")?;
    if found.status != 200 || !found.body.contains("\"rows\":[]") {
        tally.wrong(format!("a new tenant finds something: {} {}", found.status, found.body));
    }
    let arguments = format!(r#"{{"body":"{}","rank":1}}"#, guest.canary);
    client.call(&guest.token(), "add_note", &arguments)?;
    let reply = client.call(&guest.token(), "profile", r#"{"name":"me"}"#)?;
    callers::check(&guest, &reply, true, tally);
    must_quietly(&mut site.command(&["tenant", "remove", &guest.id, "--yes"]))?;
    let reply = client.call(&guest.token(), "list_notes", "{}")?;
    if reply.status != 401 {
        tally.wrong(format!("a removed tenant is answered: {} {}", reply.status, reply.body));
    }
    Ok(())
}

fn report(tally: &Tally, acts: &Acts, watch: &Watch, minutes: f64) -> Result<bool> {
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    println!(
        "\n{minutes} minutes; {} calls: {} served, {} errors as expected, {} over their limit, {} while suspended, {} hung up",
        count(&tally.calls),
        count(&tally.served),
        count(&tally.errors),
        count(&tally.over_limit),
        count(&tally.suspended),
        count(&tally.hung_up)
    );
    println!(
        "{} suspensions, {} tenants added and removed, {} tokens renewed, {}; {} connections made again",
        acts.suspended,
        acts.added_and_removed,
        acts.renewed,
        acts.hangups
            .map_or("SIGHUP is not caught by this server".to_owned(), |n| format!("{n} times SIGHUP")),
        count(&tally.reconnected)
    );
    if let Some(wrong) = tally.found_wrong() {
        println!("FAIL  {wrong}");
        return Ok(false);
    }
    println!("pass  every reply belonged to its tenant");
    let mut verdicts = Verdicts::default();
    watch.report(&mut verdicts)?;
    Ok(verdicts.all_good())
}
