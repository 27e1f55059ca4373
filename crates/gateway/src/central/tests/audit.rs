//! The audit log: in the database before the reply, whole, and honest about what it lacks.

use partywall_model::{Principal, Scopes};

use super::*;
use crate::{
    admit::RequestId,
    guards::disclosure::audit::{Audit, Line, Logs, Verdict},
};

fn line(tenant: &str, method: &'static str) -> Line {
    let caller = Principal {
        tenant: id(tenant),
        issuer: "test".into(),
        subject: "someone".into(),
        scopes: Scopes::default(),
    };
    let mut line = Line::of(Some(&Arc::new(caller)), RequestId::new(1), 1.0);
    line.method = method.into();
    line
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

fn logs(base: &Base) -> Logs {
    Logs::open(&base.config(), &base.environment()).expect("logs")
}

#[test]
fn what_was_answered_is_in_the_database_each_tenants_in_its_own_log() {
    let base = Base::new();
    let audits = [(); 2].map(|()| Audit::central(&base.central()).expect("a log"));
    runtime().block_on(async {
        let mut all = Vec::new();
        for n in 0..100 {
            let tenant = if n % 3 == 0 { "acme" } else { "globex" };
            let audit = &audits[n % 2];
            all.push(async move {
                match n % 5 {
                    0 => audit.record_durably(line(tenant, "write")).await,
                    _ => audit.record(line(tenant, "read")).await,
                }
            });
        }
        for outcome in futures_util::future::join_all(all).await {
            outcome.expect("written");
        }
    });
    assert_eq!(
        base.sql("SELECT tenant, count(*) FROM partywall.audit GROUP BY 1 ORDER BY 1"),
        [["acme", "34"], ["globex", "66"]]
    );
    let logs = logs(&base);
    assert_eq!(logs.names().unwrap(), ["acme", "globex"]);
    for name in ["acme", "globex"] {
        let reports = logs.verify(name).unwrap();
        assert_eq!(reports.len(), 2, "one of each process");
        assert!(reports.iter().all(|report| report.verdict == Verdict::Whole), "{reports:?}");
    }
    let last = logs.tail("acme", 10).unwrap();
    assert_eq!(last.len(), 10);
    assert!(last.iter().all(|line| line.contains("\"tenant\":\"acme\"")), "{last:?}");
}

/// Changed, missing in the middle, cut off at the end, or without a head.
#[test]
fn damage_is_found() {
    let damages = [
        ("UPDATE partywall.audit SET line = replace(line, 'someone', 'nobody') WHERE seq = 2", "was changed"),
        ("DELETE FROM partywall.audit WHERE seq = 2", "should stand here"),
        ("DELETE FROM partywall.audit WHERE seq > 2", "was written"),
        ("DELETE FROM partywall.audit_head", "head is missing"),
    ];
    for (damage, told) in damages {
        let base = Base::new();
        let audit = Audit::central(&base.central()).expect("a log");
        runtime().block_on(async {
            for _ in 0..4 {
                audit.record(line("acme", "read")).await.expect("written");
            }
        });
        assert_eq!(logs(&base).verify("acme").unwrap()[0].verdict, Verdict::Whole);
        base.sql(damage);
        let found = format!("{:?}", logs(&base).verify("acme").unwrap()[0].verdict);
        assert!(found.contains("Damaged") && found.contains(told), "{damage}: {found}");
    }
}

#[test]
fn lines_of_an_outage_are_counted_where_they_are_missing_and_the_chain_goes_on() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    let runtime = runtime();
    runtime.block_on(audit.record(line("acme", "before"))).expect("written");
    base.shut();
    for _ in 0..3 {
        runtime.block_on(audit.record(line("acme", "during"))).expect_err("it is shut");
        runtime.block_on(audit.record_durably(line("acme", "during"))).expect_err("it is shut");
    }
    base.open_again();
    let asked = std::time::Instant::now();
    while runtime.block_on(audit.record(line("acme", "after"))).is_err() {
        assert!(asked.elapsed() < Duration::from_secs(20), "it finds the database again");
    }
    let report = &logs(&base).verify("acme").unwrap()[0];
    assert_eq!(report.verdict, Verdict::Whole);
    assert!(report.lost >= 6, "{report:?}");
    let told = logs(&base).tail("acme", 10).unwrap().concat();
    assert!(told.contains("before") && told.contains("after") && told.contains("audit/gap"), "{told}");
}

/// A line that the database does not take is its own tenant's loss.
#[test]
fn a_line_that_is_refused_does_not_cost_another_tenant_its_own() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    base.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN IF NEW.tenant = 'acme' AND NEW.line LIKE '%bad%' THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON partywall.audit FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    );
    let runtime = runtime();
    let outcomes = runtime.block_on(async {
        let all = (0..90).map(|n| {
            let (tenant, method) = [("acme", "bad"), ("globex", "good"), ("initech", "good")][n % 3];
            let audit = &audit;
            async move { (tenant, audit.record(line(tenant, method)).await.is_ok()) }
        });
        futures_util::future::join_all(all).await
    });
    for (tenant, written) in outcomes {
        assert_eq!(written, tenant != "acme", "{tenant}");
    }
    runtime.block_on(audit.record(line("acme", "after"))).expect("its next line is taken");
    assert_eq!(
        base.sql("SELECT tenant, count(*) FROM partywall.audit WHERE tenant <> 'acme' GROUP BY 1 ORDER BY 1"),
        [["globex", "30"], ["initech", "30"]]
    );
    let logs = logs(&base);
    for tenant in ["acme", "globex", "initech"] {
        let report = &logs.verify(tenant).unwrap()[0];
        assert_eq!(report.verdict, Verdict::Whole, "{tenant}");
        assert_eq!(report.lost, if tenant == "acme" { 30 } else { 0 }, "{tenant}");
    }
}

#[test]
fn the_gateways_role_sees_no_lines_without_a_tenant() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    runtime().block_on(audit.record(line("acme", "read"))).expect("written");
    assert_eq!(base.sql_as_role("SELECT count(*) FROM partywall.audit"), [["0"]]);
}

/// Whoever can delete a line can delete a head; a log without any is looked for by the tenants that there are and were.
#[test]
fn a_log_whose_heads_were_taken_away_is_found() {
    let base = Base::new();
    let stores = base.stores();
    stores.registry.add_many(&[id("acme"), id("globex"), id("quiet")]).expect("added");
    let audit = Audit::central(&base.central()).expect("a log");
    runtime().block_on(async {
        for tenant in ["acme", "globex", "stranger"] {
            audit.record(line(tenant, "read")).await.expect("written");
        }
    });
    crate::tenants::remove_tenant(&stores.registry, &stores.vault, Path::new("/nowhere"), &id("globex"))
        .expect("removed");
    let logs = logs(&base);
    assert_eq!(logs.names().unwrap(), ["acme", "globex", "stranger"]);
    base.sql("DELETE FROM partywall.audit_head");
    assert_eq!(logs.names().unwrap(), ["acme", "globex"], "of those that there are or were");
    for tenant in ["acme", "globex", "stranger"] {
        assert!(logs.has(tenant).unwrap(), "{tenant}");
        let found = format!("{:?}", logs.verify(tenant).unwrap()[0].verdict);
        assert!(found.contains("head is missing"), "{found}");
    }
    assert!(!logs.has("quiet").unwrap());
}

/// Each server by its own numbers, whatever its clock says; and nothing twice.
#[test]
fn who_follows_sees_every_new_line_once() {
    let base = Base::new();
    let audits = [(); 2].map(|()| Audit::central(&base.central()).expect("a log"));
    let runtime = runtime();
    let write = |audit: &Audit, at: f64, method: &'static str| {
        let mut line = line("acme", method);
        line.at = at;
        runtime.block_on(audit.record(line)).expect("written");
    };
    for _ in 0..5 {
        write(&audits[0], 1000.0, "old");
    }
    let logs = logs(&base);
    let (shown, mut seen) = logs.tail_to_follow("acme", 2).unwrap();
    assert_eq!(shown.len(), 2);
    assert!(logs.follow("acme", &mut seen).unwrap().lines.is_empty(), "nothing is new");
    write(&audits[1], 10.0, "late");
    write(&audits[0], 1001.0, "new");
    let news = logs.follow("acme", &mut seen).unwrap();
    assert_eq!((news.lines.len(), news.skipped), (2, false), "{news:?}");
    assert!(news.lines[0].contains("late") && news.lines[1].contains("new"), "{news:?}");
    assert!(logs.follow("acme", &mut seen).unwrap().lines.is_empty());
}

/// Somebody holds a row of one tenant's: its own lines wait, and are lost at last.
#[test]
fn a_lock_on_one_tenants_row_costs_no_other_its_lines() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    let runtime = runtime();
    runtime.block_on(audit.record(line("acme", "first"))).expect("written");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            base.sql(
                "BEGIN; DELETE FROM partywall.audit_head WHERE tenant = 'acme'; SELECT pg_sleep(8); ROLLBACK",
            )
        });
        let held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(8)%' AND wait_event = 'PgSleep'";
        while base.sql(held) != [["1"]] {
            std::thread::yield_now();
        }
        let asked = std::time::Instant::now();
        let (acme, globex) = runtime.block_on(async {
            tokio::join!(
                audit.record_durably(line("acme", "write")),
                audit.record_durably(line("globex", "write"))
            )
        });
        assert!(globex.is_ok() && acme.is_err(), "{globex:?} {acme:?}");
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    });
}

/// What was given up here is given up there: the server is not left with it.
#[test]
fn what_lapses_leaves_no_session_behind() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    let runtime = runtime();
    runtime.block_on(audit.record(line("acme", "first"))).expect("written");
    std::thread::scope(|scope| {
        scope.spawn(|| base.sql("BEGIN; LOCK TABLE partywall.audit; SELECT pg_sleep(9); ROLLBACK"));
        let asked = std::time::Instant::now();
        while asked.elapsed() < Duration::from_secs(8) {
            let _late = runtime.block_on(audit.record_durably(line("acme", "write")));
        }
        let waiting = format!(
            "SELECT count(*) <= 1 FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
            base.name
        );
        assert_eq!(base.sql(&waiting), [["t"]]);
    });
}

/// A read is answered while its line waits for a database that does not answer.
#[test]
fn the_reply_of_a_read_waits_a_second_for_its_line() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    let runtime = runtime();
    runtime.block_on(audit.record(line("acme", "first"))).expect("written");
    std::thread::scope(|scope| {
        scope.spawn(|| base.sql("BEGIN; LOCK TABLE partywall.audit; SELECT pg_sleep(4); ROLLBACK"));
        let held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(4)%' AND wait_event = 'PgSleep'";
        while base.sql(held) != [["1"]] {
            std::thread::yield_now();
        }
        let asked = std::time::Instant::now();
        let _late = runtime.block_on(audit.record(line("acme", "read")));
        assert!(asked.elapsed() < Duration::from_millis(2500), "{:?}", asked.elapsed());
    });
}

/// Whether lines can be written is found out by whoever wants to know it, without a call.
fn writable(audit: &Audit, digit: u8) -> bool {
    audit.render().contains(&format!("partywall_audit_writable {digit}\n"))
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let asked = std::time::Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn that_lines_can_be_written_again_is_known_before_there_is_one() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    let runtime = runtime();
    runtime.block_on(audit.record(line("acme", "first"))).expect("written");
    assert!(writable(&audit, 1));
    base.shut();
    runtime.block_on(audit.record_durably(line("acme", "during"))).expect_err("it is shut");
    assert!(writable(&audit, 0));
    base.open_again();
    until("it is found out", || writable(&audit, 1));
    assert_eq!(base.sql("SELECT count(*) FROM partywall.audit"), [["1"]], "nothing is left of it");
    assert_eq!(base.sql("SELECT seq FROM partywall.audit_head"), [["1"]]);
}

/// The database is there and does not take one tenant's lines: that there is an answer is not enough.
#[test]
fn as_long_as_a_tenants_lines_are_refused_the_metric_says_so() {
    let base = Base::new();
    let audit = Audit::central(&base.central()).expect("a log");
    base.sql(
        "CREATE SEQUENCE public.refused; GRANT USAGE ON SEQUENCE public.refused TO PUBLIC;
         CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.tenant = 'acme' THEN PERFORM nextval('public.refused'); RAISE EXCEPTION 'no'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER refuse BEFORE INSERT ON partywall.audit FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    );
    let runtime = runtime();
    runtime.block_on(audit.record(line("acme", "read"))).expect_err("it is refused");
    runtime.block_on(audit.record(line("globex", "read"))).expect("another's is not");
    let refused =
        || base.sql("SELECT last_value FROM public.refused")[0][0].parse::<u32>().expect("a number");
    let before = refused();
    until("it is tried", || {
        assert!(writable(&audit, 0));
        refused() >= before + 2
    });
    base.sql("DROP TRIGGER refuse ON partywall.audit");
    until("they are taken again", || writable(&audit, 1));
    runtime.block_on(audit.record(line("acme", "after"))).expect("written");
    assert_eq!(logs(&base).verify("acme").unwrap()[0].verdict, Verdict::Whole);
}
