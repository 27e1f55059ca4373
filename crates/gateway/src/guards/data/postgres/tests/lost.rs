//! A server that goes away: calls fail at once and say so, and go on when it is back.

use std::{net::SocketAddr, time::Instant};

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::*;

/// Stands between the gateway and the server, and can be cut.
struct Line {
    task: JoinHandle<()>,
    address: SocketAddr,
}

impl Line {
    async fn to(server: SocketAddr, at: Option<SocketAddr>) -> Self {
        let listener = match at {
            Some(at) => TcpListener::bind(at).await.expect("the address is free again"),
            None => TcpListener::bind("127.0.0.1:0").await.expect("an address"),
        };
        let address = listener.local_addr().expect("an address");
        #[expect(clippy::disallowed_methods, reason = "the line of the test")]
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = TcpStream::connect(server).await.expect("the server");
                    let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { task, address }
    }

    /// Closes everything; nobody listens at the address any more.
    async fn cut(self) -> SocketAddr {
        self.task.abort();
        let _ended = self.task.await;
        self.address
    }
}

async fn server(lab: &Lab) -> SocketAddr {
    let url = url::Url::parse(&lab.admin).expect("a URL");
    let host = url.host_str().expect("a host").to_owned();
    let port = url.port().unwrap_or(5432);
    tokio::net::lookup_host((host, port)).await.expect("an address").next().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_is_said_at_once_and_found_again() {
    let mut lab = Lab::rls().await;
    let to = server(&lab).await;
    let line = Line::to(to, None).await;
    lab.address = Some(line.address);
    let sources = lab.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    run(&sources, "acme", &read, json!({})).await.expect("runs");
    assert!(sources.lost().is_empty());

    let at = line.cut().await;
    for _ in 0..20 {
        let begun = Instant::now();
        let error = run(&sources, "acme", &read, json!({})).await.expect_err("lost");
        assert_eq!(error, DataError::Lost("desk".to_owned()));
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
    assert_eq!(sources.lost(), ["desk"]);
    let told = crate::tools::ToolError::from(DataError::Lost("desk".to_owned())).to_string();
    assert!(told.contains("desk"), "{told}");

    let line = Line::to(to, Some(at)).await;
    let back = async {
        while !sources.lost().is_empty() {
            // As the server does every second; here nobody waits.
            sources.look().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("found again");
    run(&sources, "acme", &read, json!({})).await.expect("runs again");

    // A restart of the server ends the idle connections; the next call does not notice.
    let at = line.cut().await;
    let _line = Line::to(to, Some(at)).await;
    run(&sources, "acme", &read, json!({})).await.expect("on a new connection");
    assert!(sources.lost().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_ended_while_idle_are_replaced() {
    let lab = Lab::rls().await;
    let sources = lab.open();
    let sql = "INSERT INTO tickets (id, title) VALUES (:id, 'x')";
    let write = sources.compile("desk", sql, &["id"], true).expect("compiles");
    let end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}_app'", lab.name);
    sources.loaded();
    for id in 100..105 {
        run(&sources, "acme", &write, json!({"id": id})).await.expect("writes, once");
        lab.sql(&end).await;
    }
    let kept = rows(&sources, "acme", "SELECT count(*) AS n FROM tickets WHERE id >= 100").await;
    assert_eq!(kept, json!([{"n": 5}]));
}

/// A server that accepts and says nothing holds nobody longer than it may.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_holds_no_call_past_its_limit() {
    let mut lab = Lab::rls_with("connect_timeout = \"300ms\"").await;
    let line = Line::to(server(&lab).await, None).await;
    lab.address = Some(line.address);
    let sources = lab.open();
    let read = sources.compile("desk", "SELECT count(*) AS n FROM tickets", &[], false).expect("compiles");
    sources.loaded();
    let at = line.cut().await;
    let _silent = TcpListener::bind(at).await.expect("the address is free again");
    for time in [100, 5_000] {
        let begun = Instant::now();
        let permit = Permit::for_test("acme", 1);
        let error = sources.run(&permit, &read, &[], short(time)).await.expect_err("silent");
        assert!(matches!(error.kind(), ErrorKind::Lost | ErrorKind::TimedOut), "{error}");
        assert!(begun.elapsed() < Duration::from_millis(time.min(600) + 1400), "{:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_url_is_said_without_the_password() {
    let lab = Lab::rls().await;
    lab.sql(&format!("ALTER ROLE {}_app PASSWORD 'another'", lab.name)).await;
    let secret = "app pass";
    match lab.try_open(Default::default()) {
        // A server that asks for no password takes any.
        Ok(_) => {}
        Err(error) => {
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("28P01") && !text.contains(secret) && !text.contains("app%20pass"),
                "{text}"
            );
        }
    }
    lab.sql(&format!("ALTER ROLE {}_app NOLOGIN", lab.name)).await;
    let error = lab.try_open(Default::default()).expect_err("no login").to_string();
    assert!(error.contains("check the role") && !error.contains(secret), "{error}");
}
