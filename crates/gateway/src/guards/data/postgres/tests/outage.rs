//! A server that stops and comes back.

use std::time::Instant;

use super::{server::Server, *};
use crate::config::{Config, Environment};

const TABLES: &str = "CREATE ROLE app LOGIN PASSWORD 'app pass';
    CREATE TABLE tickets (tenant_id text NOT NULL, id bigint NOT NULL, PRIMARY KEY (tenant_id, id));
    ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tickets FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON tickets TO app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
    GRANT SELECT, INSERT ON tickets TO app;
    INSERT INTO tickets VALUES ('acme', 1), ('globex', 2)";

fn configuration(server: &Server) -> (Config, Environment) {
    let text = "[data.desk]\ndriver = \"postgres\"\nurl = \"env:DB\"\nisolation = \"rls\"\n\
                [identity]\ndevelopment = true\n";
    let config = Config::parse(text, "p.toml", server.folder()).expect("a configuration");
    let url = format!("postgres://app:app%20pass@{}/postgres", server.address());
    (config, Environment::from_fn(move |name| (name == "DB").then(|| url.clone())))
}

fn open(server: &Server) -> Arc<Sources> {
    let (config, environment) = configuration(server);
    let sources = Sources::new(&config, &Outside { environment, ..Outside::default() }).expect("sources");
    sources.verify().expect("good");
    sources
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_is_said_to_be_gone_and_is_found_again() {
    let mut server = Server::start().await;
    lab::admin(&server.url(), TABLES).await;
    let sources = open(&server);
    let read = sources.compile("desk", "SELECT id FROM tickets", &[], false).expect("compiles");
    let insert = "INSERT INTO tickets VALUES ('acme', :id)";
    let write = sources.compile("desk", insert, &["id"], true).expect("compiles");
    sources.loaded();
    for (next, round) in (10..).zip(0..3) {
        let seen = run(&sources, "globex", &read, json!({})).await.expect("reads");
        assert_eq!(seen.json, r#"[{"id":2}]"#, "round {round}");
        // In the middle of a call.
        let endless = unchecked("SELECT count(*) AS n FROM generate_series(1, 1000000000000)", false);
        let permit = Permit::for_test("acme", 1);
        let (cut, ()) = tokio::join!(sources.run(&permit, &endless, &[], limits()), async {
            let running = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'";
            while lab::admin(&server.url(), running).await[0][0] == "0" {
                tokio::task::yield_now().await;
            }
            server.stop();
        });
        assert_eq!(cut.expect_err("cut off"), DataError::Lost("desk".to_owned()));
        for tenant in ["acme", "globex"] {
            for _ in 0..10 {
                let begun = Instant::now();
                let error = run(&sources, tenant, &read, json!({})).await.expect_err("gone");
                assert_eq!(error, DataError::Lost("desk".to_owned()));
                run(&sources, tenant, &write, json!({"id": next})).await.expect_err("gone");
                assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
            }
        }
        assert_eq!(sources.lost(), ["desk"]);
        sources.look().await;
        assert_eq!(sources.lost(), ["desk"], "nobody is there");

        server.run(&[]).await;
        let back = async {
            while !sources.lost().is_empty() {
                // As the server does every second; here nobody waits.
                sources.look().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("found again");
        let seen = run(&sources, "globex", &read, json!({})).await.expect("reads again");
        assert_eq!(seen.json, r#"[{"id":2}]"#);
        run(&sources, "acme", &write, json!({"id": next})).await.expect("writes, once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_follows_the_server() {
    let mut server = Server::start().await;
    lab::admin(&server.url(), TABLES).await;
    let (config, environment) = configuration(&server);
    let gateway = crate::Gateway::builder(config).environment(environment).open().expect("opens");
    let ready = || crate::wire::readiness(&gateway.live);
    assert_eq!(ready(), (http::StatusCode::OK, "ready\n".to_owned()));
    server.stop();
    // Nobody calls: it is found out by asking, as soon as the last answer is some seconds old.
    let until = async |wanted: u16| {
        let wait = async {
            while ready().0 != wanted {
                gateway.live.services().sources.look().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("readiness follows");
    };
    until(503).await;
    assert!(ready().1.contains("desk"), "{}", ready().1);
    server.run(&[]).await;
    until(200).await;
}
