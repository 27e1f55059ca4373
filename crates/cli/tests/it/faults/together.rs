//! Three gateways behind a balancer, on one PostgreSQL and one Redis Cluster, under load: one of them is killed, then a
//! node of the cluster. Nobody sees another tenant's row, and nothing that was acknowledged is lost.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    redis::cluster,
    replicas::copy_folder,
    wire::{Ask, Conn},
};
use crate::support::{ok, partywall, sql, superuser};

const TENANTS: [&str; 2] = ["acme", "globex"];

/// A database with a table of notes, and the roles for it and for the state.
struct Base {
    root: String,
    name: String,
}

impl Base {
    fn new() -> Self {
        let root = superuser();
        let name = format!("pw_together_{}", std::process::id());
        for role in ["app", "state", "owner"] {
            sql(&root, &format!("CREATE ROLE {name}_{role} LOGIN PASSWORD 'together'"));
        }
        sql(&root, &format!("CREATE DATABASE {name}"));
        sql(&root, &format!("GRANT CREATE ON DATABASE {name} TO {name}_state"));
        sql(&root, &format!("REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"));
        let base = Self { root, name };
        base.sql(&format!(
            "CREATE TABLE notes (
                 tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), '') CHECK (tenant_id <> ''),
                 body text NOT NULL, PRIMARY KEY (tenant_id, body));
             ALTER TABLE notes OWNER TO {0}_owner;
             ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
             ALTER TABLE notes FORCE ROW LEVEL SECURITY;
             CREATE POLICY own ON notes TO {0}_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
             GRANT SELECT, INSERT, UPDATE, DELETE ON notes TO {0}_app;",
            base.name
        ));
        base
    }

    fn url(&self, role: Option<&str>) -> String {
        let mut url = url::Url::parse(&self.root).unwrap();
        url.set_path(&self.name);
        if let Some(role) = role {
            url.set_username(&format!("{}_{role}", self.name)).unwrap();
            url.set_password(Some("together")).unwrap();
        }
        url.into()
    }

    fn sql(&self, text: &str) -> Vec<Vec<String>> {
        sql(&self.url(None), text)
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        if !thread::panicking() {
            sql(&self.root, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
            for role in ["app", "state", "owner"] {
                sql(&self.root, &format!("DROP ROLE {}_{role}", self.name));
            }
        }
    }
}

/// A gateway process.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut child = partywall(&["serve"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let address = loop {
            let Some(line) = lines.next() else { panic!("it ended: {said:?}") };
            if let Some(rest) = line.split("MCP at http://").nth(1) {
                break rest.split('/').next().unwrap().parse().unwrap();
            }
            said.push(line);
        };
        // Read on, so that the process never waits for us.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A plain balancer: each connection goes to the next server that takes it.
fn balance(servers: Vec<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let next = Arc::new(AtomicUsize::new(0));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (servers, next) = (servers.clone(), Arc::clone(&next));
            thread::spawn(move || pass(&client, &servers, &next));
        }
    });
    address
}

fn pass(client: &TcpStream, servers: &[SocketAddr], next: &AtomicUsize) {
    let server = (0..servers.len()).find_map(|_| {
        let at = next.fetch_add(1, Ordering::Relaxed) % servers.len();
        TcpStream::connect(servers[at]).ok()
    });
    let Some(server) = server else { return };
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let there = thread::spawn(move || {
        let _copied = io::copy(&mut from_client, &mut to_server);
        let _closed = to_server.shutdown(std::net::Shutdown::Write);
    });
    let (mut server, mut client) = (server, client);
    let _copied = io::copy(&mut server, &mut client);
    let _closed = client.shutdown(std::net::Shutdown::Both);
    let _done = there.join();
}

/// What callers of one tenant saw.
#[derive(Default)]
struct Seen {
    /// Notes whose writing was acknowledged.
    acknowledged: BTreeSet<String>,
    reads: usize,
    cut: usize,
    wrong: Vec<String>,
}

/// Writes and reads for a tenant until told to stop, each on a connection of its own.
fn call(
    address: SocketAddr,
    tenant: &str,
    token: &str,
    caller: usize,
    stop: &AtomicBool,
    seen: &Mutex<Seen>,
) {
    let other = TENANTS.into_iter().find(|other| *other != tenant).unwrap();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let body = format!("{tenant}-{caller}-{n}");
        let (tool, arguments) = match n % 2 {
            0 => ("add_note", json!({ "body": body })),
            _ => ("list_notes", json!({})),
        };
        let answer = Conn::open(address).and_then(|mut conn| conn.ask(&Ask::call(token, tool, &arguments)));
        let mut seen = seen.lock().unwrap();
        match answer {
            // A killed process answers nobody.
            Err(_) => seen.cut += 1,
            Ok(answer) if answer.body.contains(other) => seen.wrong.push(format!("{answer:?}")),
            Ok(answer) if !answer.is_ok() => seen.wrong.push(format!("{answer:?}")),
            Ok(_) if tool == "add_note" => drop(seen.acknowledged.insert(body)),
            Ok(_) => seen.reads += 1,
        }
    }
}

fn configuration(base: &Base, redis: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state-url"), base.url(Some("state"))).unwrap();
    fs::write(folder.path().join("data-url"), base.url(Some("app"))).unwrap();
    fs::write(folder.path().join("master"), "5".repeat(64)).unwrap();
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://127.0.0.1:9/mcp\"\nstate = \"postgres\"\n\
         state_url = \"file:state-url\"\nmaster_key = \"file:master\"\n[identity]\ndevelopment = true\n\
         [shared]\nredis = \"{redis}\"\ncluster = true\nreplicas = 3\ntimeout = \"500ms\"\n\
         [capacity]\nrequests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 100\n\
         [data.desk]\ndriver = \"postgres\"\nurl = \"file:data-url\"\nisolation = \"rls\"\n\
         [[tool]]\nname = \"list_notes\"\nsource = \"desk\"\nsql = \"SELECT body FROM notes ORDER BY body DESC LIMIT 20\"\n\
         [[tool]]\nname = \"add_note\"\nsource = \"desk\"\nwrites = true\nrows = \"one\"\n\
         sql = \"INSERT INTO notes (body) VALUES (:body) RETURNING body\"\n\
         args.body = {{ type = \"string\", max_length = 100 }}\n"
    );
    fs::write(folder.path().join("partywall.toml"), text).unwrap();
    folder
}

/// Every acknowledged write is in the table, and in the audit log.
fn nothing_is_lost(base: &Base, tenant: &str, seen: &Seen) {
    assert!(seen.wrong.is_empty(), "{tenant}: {:?}", seen.wrong.first());
    assert!(seen.reads > 50, "{tenant}: {} reads, {} cut", seen.reads, seen.cut);
    let there: BTreeSet<String> = base
        .sql(&format!("SELECT body FROM notes WHERE tenant_id = '{tenant}'"))
        .into_iter()
        .flatten()
        .collect();
    let lost: Vec<_> = seen.acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "{tenant}: acknowledged and not there: {lost:?}");
    let noted = base.sql(&format!(
        "SELECT count(*) FROM partywall.audit WHERE tenant = '{tenant}' AND line LIKE '%\"add_note\"%'
         AND line LIKE '%\"outcome\":\"ok\"%'"
    ));
    let noted: usize = noted[0][0].parse().unwrap();
    assert!(
        noted >= seen.acknowledged.len(),
        "{tenant}: {noted} lines for {} writes",
        seen.acknowledged.len()
    );
}

#[test]
fn gateways_that_share_everything_lose_nothing_when_one_and_a_node_of_redis_are_killed() {
    let base = Base::new();
    let mut nodes = cluster();
    let redis = nodes.each_ref().map(|node| node.url()).join(",");
    let first = configuration(&base, &redis);
    let run = |arguments: &[&str]| ok(first.path(), arguments, "");
    run(&["tenant", "add", TENANTS[0], TENANTS[1]]);
    let tokens =
        TENANTS.map(|tenant| run(&["token", "--tenant", tenant, "--subject", "user"]).trim().to_owned());
    let folders = [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(first.path(), folder.path());
        folder
    });
    let [second, third] = folders.each_ref().map(|folder| folder.path());
    let mut servers = [first.path(), second, third].map(|folder| Some(Server::start(folder)));
    let balancer = balance(servers.iter().flatten().map(|server| server.address).collect());

    let stop = AtomicBool::new(false);
    let seen = TENANTS.map(|_| Mutex::new(Seen::default()));
    thread::scope(|scope| {
        for ((tenant, token), seen) in TENANTS.into_iter().zip(&tokens).zip(&seen) {
            for caller in 0..2 {
                let stop = &stop;
                scope.spawn(move || call(balancer, tenant, token, caller, stop, seen));
            }
        }
        let acknowledged = || seen.iter().map(|seen| seen.lock().unwrap().acknowledged.len()).min().unwrap();
        let more = |count: usize| {
            let (before, since) = (acknowledged(), Instant::now());
            while acknowledged() < before + count {
                assert!(since.elapsed() < Duration::from_secs(60), "no call goes through");
                thread::sleep(Duration::from_millis(5));
            }
        };
        more(50);
        drop(servers[1].take());
        more(50);
        nodes[0].kill();
        more(50);
        stop.store(true, Ordering::Relaxed);
    });
    for (tenant, seen) in TENANTS.into_iter().zip(seen) {
        nothing_is_lost(&base, tenant, &seen.into_inner().unwrap());
    }
    run(&["audit", "verify"]);

    // By a command of another process: no server admits the tenant once it has returned.
    run(&["tenant", "suspend", TENANTS[0]]);
    for server in servers.iter().flatten() {
        for (token, admitted) in tokens.iter().zip([false, true]) {
            let answer =
                Conn::open(server.address).unwrap().ask(&Ask::call(token, "list_notes", &json!({}))).unwrap();
            assert_eq!(answer.is_ok(), admitted, "{answer:?}");
        }
    }
    drop(servers);
}
