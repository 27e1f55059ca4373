//! Somebody between who gives each transaction another session, or too few of them.

use super::*;
use crate::{guards::data::Bouncer, tenants::Registry};

fn pooler(base: &Base, settings: &str) -> Bouncer {
    let server = Url::parse(&superuser()).expect("a URL");
    Bouncer::with(&server, &base.name, &base.name, "state pass", settings)
}

fn refused(base: &Base, bouncer: &Bouncer) {
    match through(base, bouncer.address()) {
        Err(CentralError::Pooled) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pooler_that_shares_sessions_is_refused() {
    let base = Base::new();
    let server = Url::parse(&superuser()).expect("a URL");
    refused(&base, &Bouncer::before(&server, &base.name, &base.name, "state pass"));
}

#[test]
fn a_pooler_that_knows_no_transactions_is_refused() {
    let base = Base::new();
    refused(&base, &pooler(&base, "pool_mode = statement\ndefault_pool_size = 3"));
}

/// Has the pooler make all of its sessions: as many clients wait for a lock until all are there.
fn all_are_made(base: &Base, url: &str, sessions: usize) {
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            base.sql(&format!(
                "SELECT pg_advisory_lock(1);
                 DO $$ BEGIN
                     FOR tries IN 1..1000 LOOP
                         PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
                         EXIT WHEN {sessions} = (SELECT count(*) FROM pg_stat_activity WHERE usename = '{}');
                     END LOOP;
                 END $$",
                base.name
            ))
        });
        while base.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ) != [["1"]]
        {
            assert!(!holder.is_finished(), "the lock is held");
            std::thread::yield_now();
        }
        for _ in 0..sessions {
            scope.spawn(|| sql(url, "SELECT pg_advisory_xact_lock_shared(1)"));
        }
    });
}

/// The sessions take turns, so that whoever asks again has the one that it had before.
#[test]
fn a_pooler_that_gives_the_same_session_by_chance_is_refused() {
    for sessions in [2, 3, 4, 5] {
        let base = Base::new();
        let settings =
            format!("pool_mode = transaction\nserver_round_robin = 1\ndefault_pool_size = {sessions}");
        let bouncer = pooler(&base, &settings);
        let mut url = Url::parse(&base.url()).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(bouncer.address().port())).expect("a host");
        all_are_made(&base, url.as_str(), sessions);
        refused(&base, &bouncer);
    }
}

/// What is wrong is the number of connections, and neither the address nor a firewall.
#[test]
fn a_pooler_with_too_few_sessions_is_told_of() {
    for (sessions, of_lanes) in [(1, false), (3, true), (5, true)] {
        let base = Base::new();
        let settings = format!("pool_mode = session\ndefault_pool_size = {sessions}");
        let bouncer = pooler(&base, &settings);
        let attended = through(&base, bouncer.address()).map(|central| {
            assert!(of_lanes, "the first look needs two");
            Registry::central(&Arc::new(central)).attend().expect_err("six are needed").to_string()
        });
        let told = attended.unwrap_or_else(|error| error.to_string());
        assert!(
            told.contains(&format!("{sessions} connections to "))
                && told.contains("a process that serves has 6"),
            "{told}"
        );
        assert!(!told.contains("firewall"), "{told}");
    }
}

#[test]
fn a_pooler_with_enough_sessions_will_do() {
    let base = Base::new();
    let bouncer = pooler(&base, "pool_mode = session\ndefault_pool_size = 6");
    let central = through(&base, bouncer.address()).expect("a session for each connection");
    Registry::central(&Arc::new(central)).attend().expect("six are there");
}
