//! A server that is killed under load, again and again: what it acknowledged is there, once, and nothing else is.
//!
//! `PARTYWALL_KILLS` sets how often.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    sync::Mutex,
    thread,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use super::{
    house::{FAULTY, House, OTHER, Plan, figure},
    wire::{Ask, Conn},
};

const KILLS: usize = 50;

/// So many clients for each tenant.
const CLIENTS: usize = 4;

fn kills() -> usize {
    #[expect(clippy::disallowed_methods, reason = "how long to look is the runner's choice")]
    let wanted = std::env::var("PARTYWALL_KILLS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

/// A write that the server said it has done.
pub(super) struct Acknowledged {
    pub(super) tenant: &'static str,
    /// The request's number, from the reply's `x-request-id`.
    pub(super) request: String,
    pub(super) body: String,
}

/// What the clients know.
#[derive(Default)]
struct Known {
    sent: BTreeSet<String>,
    acknowledged: Vec<Acknowledged>,
    /// The tenants and requests of reads that were answered.
    reads: Vec<(&'static str, String)>,
}

#[test]
fn what_was_acknowledged_outlives_every_kill() {
    // The log goes to the archive many times.
    let capacity = Some(
        "requests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 1000\n\
         [audit]\nmax_file_bytes = \"16KiB\"\n",
    );
    let mut house = House::furnished(&Plan { capacity, ..Plan::default() });
    let known = Mutex::new(Known::default());
    let kills = kills();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..kills {
        house.start();
        // Everything of the rounds before is there as soon as the server is, without anybody's help.
        check_data(&house, &known.lock().unwrap());
        check_audit(&house, &known.lock().unwrap());
        // An xorshift; the moment of the kill is any of the first hundredth of a second to the first tenth.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = Duration::from_micros(10_000 + random % 90_000);
        let (address, known) = (house.address(), &known);
        let tokens = [FAULTY, OTHER].map(|tenant| (tenant, house.token(tenant).to_owned()));
        thread::scope(|scope| {
            for (tenant, token) in &tokens {
                for client in 0..CLIENTS {
                    scope.spawn(move || work(address, tenant, token, &format!("{round}-{client}"), known));
                }
            }
            thread::sleep(moment);
            house.kill();
        });
    }
    house.start();
    let known = known.into_inner().unwrap();
    check_data(&house, &known);
    check_audit(&house, &known);
    let (done, sent) = (known.acknowledged.len(), known.sent.len());
    figure(&format!("{kills} kills: {done} writes acknowledged of {sent} sent, {} reads", known.reads.len()));
    assert!(done > kills && known.reads.len() > kills, "{done} writes, {} reads", known.reads.len());
    assert!(sent > done, "some were under way when the server was killed");
}

/// Writes and reads until the server is gone.
fn work(address: SocketAddr, tenant: &'static str, token: &str, name: &str, known: &Mutex<Known>) {
    let Ok(mut conn) = Conn::open(address) else { return };
    for n in 0.. {
        let body = format!("{tenant} {name}-{n}");
        known.lock().unwrap().sent.insert(body.clone());
        let arguments = json!({ "ticket_id": n % 10 + 1, "body": body });
        let Ok(answer) = conn.ask(&Ask::call(token, "add_comment", &arguments)) else { return };
        assert!(answer.is_ok(), "{answer:?}");
        let request = answer.header("x-request-id").unwrap().to_owned();
        known.lock().unwrap().acknowledged.push(Acknowledged { tenant, request, body });
        let read = Ask::call(token, "get_ticket", &json!({ "id": n % 10 + 1 }));
        let Ok(answer) = conn.ask(&read) else { return };
        assert!(answer.is_ok() && answer.body.contains(&format!("of {tenant}")), "{answer:?}");
        let request = answer.header("x-request-id").unwrap().to_owned();
        known.lock().unwrap().reads.push((tenant, request));
    }
}

/// Each tenant's file is sound and holds every acknowledged write once, and nothing that was not sent for it.
#[track_caller]
fn check_data(house: &House, known: &Known) {
    for tenant in [FAULTY, OTHER] {
        let mut found = BTreeMap::new();
        for body in comments(&house.file_of(tenant)) {
            assert!(body.starts_with(tenant), "{tenant} has `{body}`");
            assert!(known.sent.contains(&body), "{tenant} has `{body}`, which nobody sent");
            *found.entry(body).or_insert(0) += 1;
        }
        assert!(found.values().all(|times| *times == 1), "{tenant} has something twice: {found:?}");
        for write in known.acknowledged.iter().filter(|write| write.tenant == tenant) {
            assert!(found.contains_key(&write.body), "`{}` was acknowledged and is lost", write.body);
        }
    }
}

/// The comments in a tenant's file, which must be sound.
pub(super) fn comments(path: &Path) -> Vec<String> {
    let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    file.busy_timeout(Duration::from_secs(10)).unwrap();
    let sound: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{}", path.display());
    let mut statement = file.prepare("SELECT body FROM comments ORDER BY id").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// What must hold of the audit log after a kill, once the server runs again: it is whole, and has the end of every
/// request that was answered, and of a write the beginning before it.
fn check_audit(house: &House, known: &Known) {
    house.run(&["audit", "verify"]);
    for tenant in [FAULTY, OTHER] {
        let ends = noted(house, tenant);
        let outcomes = |request: &String| ends.get(request).map(Vec::as_slice).unwrap_or_default();
        for write in known.acknowledged.iter().filter(|write| write.tenant == tenant) {
            assert_eq!(outcomes(&write.request), ["started", "ok"], "{tenant}: write `{}`", write.request);
        }
        for (_, request) in known.reads.iter().filter(|(owner, _)| *owner == tenant) {
            assert_eq!(outcomes(request), ["ok"], "{tenant}: read `{request}`");
        }
    }
}

/// What the log of a tenant says of each request, in order, from the archive on.
fn noted(house: &House, tenant: &str) -> BTreeMap<String, Vec<String>> {
    let mut files: Vec<_> = std::fs::read_dir(house.data("audit/archive").join(tenant))
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.sort();
    files.push(house.data("audit").join(format!("{tenant}.jsonl")));
    let mut noted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for line in std::fs::read_to_string(file).unwrap_or_default().lines() {
            let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if let (Some(request), Some(outcome)) = (line["request"].as_str(), line["outcome"].as_str()) {
                noted.entry(request.to_owned()).or_default().push(outcome.to_owned());
            }
        }
    }
    noted
}
