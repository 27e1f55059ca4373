//! PgBouncer in transaction mode between the gateway and the server.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    process::{Child, Command, Stdio},
};

use super::*;

/// A PgBouncer with two server connections, stopped at the end.
pub(crate) struct Bouncer {
    child: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Bouncer {
    fn start(lab: &Lab) -> Self {
        let url = url::Url::parse(&lab.admin).expect("a URL");
        Self::before(&url, &lab.name, &format!("{}_app", lab.name), "app pass")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Before a database of a server, for one role; gives each transaction another session.
    pub(crate) fn before(url: &url::Url, name: &str, role: &str, password: &str) -> Self {
        Self::with(url, name, role, password, "pool_mode = transaction\ndefault_pool_size = 2")
    }

    /// The same with other settings.
    pub(crate) fn with(url: &url::Url, name: &str, role: &str, password: &str, settings: &str) -> Self {
        let (host, port) = (url.host_str().expect("a host"), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users.txt");
        fs::write(&users, format!("\"{role}\" \"{password}\"\n")).expect("written");
        let config = folder.path().join("pgbouncer.ini");
        fs::write(
            &config,
            format!(
                "[databases]\n{name} = host={host} port={port} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\n{settings}\n\
                 max_client_conn = 200\n",
                address.port(),
                users.display()
            ),
        )
        .expect("written");
        let mut command = Command::new("pgbouncer");
        // It refuses to run as root.
        if rustix::process::geteuid().is_root() {
            for path in [folder.path(), &users, &config] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
            }
            command.uid(65_534).gid(65_534);
        }
        drop(listener);
        let child = command.arg("--quiet").arg(&config).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("pgbouncer is not installed; install the package of that name");
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "pgbouncer listens");
            std::thread::yield_now();
        }
        Self { child, address, _folder: folder }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _stopped = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_take_turns_on_a_poolers_connections_see_their_own_rows() {
    let mut lab = Lab::rls_with("pooler = true\nmax_connections = 16").await;
    let bouncer = Bouncer::start(&lab);
    lab.address = Some(bouncer.address);
    let sources = lab.open();
    let read =
        sources.compile("desk", "SELECT DISTINCT tenant_id FROM tickets", &[], false).expect("compiles");
    let write = sources
        .compile("desk", "UPDATE tickets SET title = :t RETURNING tenant_id", &["t"], true)
        .expect("compiles");
    let calls = (0..400_u64).map(|n| {
        let (sources, read, write) = (&sources, &read, &write);
        async move {
            let who = if n % 2 == 0 { "acme" } else { "globex" };
            if n % 5 == 0 {
                let permit = Permit::for_test(who, 1);
                let call = sources.run(&permit, read, &[], limits());
                let _dropped = tokio::time::timeout(Duration::from_micros(n * 20), call).await;
            } else if n % 7 == 0 {
                let done =
                    run(sources, who, write, json!({"t": format!("{n} of {who}")})).await.expect("writes");
                assert_eq!(done.json, json!(vec![json!({"tenant_id": who}); 10]).to_string());
            } else {
                let seen = run(sources, who, read, json!({})).await.expect("reads");
                assert_eq!(seen.json, json!([{"tenant_id": who}]).to_string());
            }
        }
    });
    futures_util::future::join_all(calls).await;
    for who in ["acme", "globex"] {
        let sql =
            format!("SELECT count(*) FROM tickets WHERE tenant_id = '{who}' AND title NOT LIKE '%of {who}'");
        assert_eq!(lab.sql(&sql).await[0][0], "0");
    }
    assert!(lab.connections().await <= 3);
    drop(bouncer);
    let lost = run(&sources, "acme", &read, json!({})).await.expect_err("no pooler");
    assert_eq!(lost, DataError::Lost("desk".to_owned()));
}
