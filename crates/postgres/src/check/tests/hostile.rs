//! Schemas that look safe and are not, and honest ones that look bad: each bad one has a twin about which nothing is said.

use super::*;

/// What a schema must be found to have.
struct Case {
    /// What it is about.
    name: &'static str,
    /// SQL after the safe schema.
    bad: &'static str,
    /// A rule that must find it.
    rule: &'static str,
    /// The honest twin: nothing may be found.
    good: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "a policy that lets through everything but the tenant",
        bad: "DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app
              USING (NOT (tenant_id = nullif(current_setting('app.tenant', true), '')))",
        rule: "policy-without-tenant-test",
        good: "DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app
               USING (tenant_id = nullif(current_setting('app.tenant', true), '') AND NOT (status = 'secret'))",
    },
    Case {
        name: "a policy that compares the tenant with the row's own value",
        bad: "DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app
              USING (tenant_id = lower(tenant_id))",
        rule: "policy-without-tenant-test",
        good: "ALTER TABLE shop.orders ADD CHECK (tenant_id = lower(tenant_id));
               DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app
               USING (tenant_id = lower(nullif(current_setting('app.tenant', true), '')))",
    },
    Case {
        name: "a default tenant where there is none",
        bad: "DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app
              USING (tenant_id = coalesce(nullif(current_setting('app.tenant', true), ''), 'acme'))",
        rule: "fail-open-policy",
        good: "DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app
               USING (tenant_id = coalesce(current_setting('app.tenant', true), ''))",
    },
    Case {
        name: "a policy for a role that the application's can become without having its rights",
        bad: "ALTER ROLE shop_app NOINHERIT; CREATE ROLE shop_support NOLOGIN; GRANT shop_support TO shop_app;
              GRANT USAGE ON SCHEMA shop TO shop_support; GRANT SELECT ON shop.orders TO shop_support;
              CREATE POLICY support ON shop.orders TO shop_support USING (true)",
        rule: "policy-without-tenant-test",
        good: "CREATE ROLE shop_support NOLOGIN; GRANT USAGE ON SCHEMA shop TO shop_support;
               GRANT SELECT ON shop.orders TO shop_support;
               CREATE POLICY support ON shop.orders TO shop_support USING (true)",
    },
    Case {
        name: "two tenants' roles that do not log in",
        bad: "ALTER ROLE shop_app NOINHERIT; CREATE ROLE shop_a NOLOGIN; CREATE ROLE shop_b NOLOGIN;
              GRANT shop_a, shop_b TO shop_app;
              CREATE POLICY a ON shop.orders TO shop_a USING (tenant_id = CURRENT_USER);
              CREATE POLICY b ON shop.orders TO shop_b USING (tenant_id = CURRENT_USER)",
        rule: "app-role-can-become-others",
        good: "CREATE ROLE shop_a NOLOGIN; GRANT shop_a TO shop_app",
    },
    Case {
        name: "an open policy that a restrictive one holds for reading only",
        bad: "DROP POLICY own ON shop.orders; CREATE POLICY anything ON shop.orders USING (true);
              CREATE POLICY own ON shop.orders AS RESTRICTIVE FOR SELECT TO shop_app
                  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
        rule: "policy-without-tenant-test",
        good: "DROP POLICY own ON shop.orders; CREATE POLICY anything ON shop.orders USING (true);
               CREATE POLICY own ON shop.orders AS RESTRICTIVE TO PUBLIC
                   USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
    },
    Case {
        name: "an open policy of another role, and a restrictive one that is not for it",
        bad: "ALTER ROLE shop_app NOINHERIT; CREATE ROLE shop_support NOLOGIN; GRANT shop_support TO shop_app;
              CREATE POLICY support ON shop.orders TO shop_support USING (true);
              CREATE POLICY held ON shop.orders AS RESTRICTIVE TO shop_app
                  USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
        rule: "policy-without-tenant-test",
        good: "ALTER ROLE shop_app NOINHERIT; CREATE ROLE shop_support NOLOGIN; GRANT shop_support TO shop_app;
               CREATE POLICY support ON shop.orders TO shop_support USING (true);
               CREATE POLICY held ON shop.orders AS RESTRICTIVE TO shop_app, shop_support
                   USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
    },
    Case {
        name: "a view whose owner a policy lets see everything, forced or not",
        bad: "CREATE ROLE shop_reports NOLOGIN; GRANT USAGE ON SCHEMA shop TO shop_reports;
              GRANT SELECT ON shop.orders TO shop_reports;
              CREATE POLICY reports ON shop.orders TO shop_reports USING (true);
              CREATE VIEW shop.report AS SELECT * FROM shop.orders; ALTER VIEW shop.report OWNER TO shop_reports;
              GRANT SELECT ON shop.report TO shop_app",
        rule: "view-bypasses-rls",
        good: "CREATE VIEW shop.report AS SELECT * FROM shop.orders; ALTER VIEW shop.report OWNER TO shop_owner;
               GRANT SELECT ON shop.report TO shop_app",
    },
    Case {
        name: "a view owned by a member of the tables' owner",
        bad: "CREATE ROLE shop_deploy NOLOGIN; GRANT shop_owner TO shop_deploy;
              ALTER TABLE shop.orders NO FORCE ROW LEVEL SECURITY;
              CREATE VIEW shop.report AS SELECT * FROM shop.orders; ALTER VIEW shop.report OWNER TO shop_deploy;
              GRANT SELECT ON shop.report TO shop_app",
        rule: "view-bypasses-rls",
        good: "CREATE ROLE shop_deploy NOLOGIN; GRANT shop_owner TO shop_deploy;
               CREATE VIEW shop.report WITH (security_invoker) AS SELECT * FROM shop.orders;
               ALTER VIEW shop.report OWNER TO shop_deploy; GRANT SELECT ON shop.report TO shop_app",
    },
    Case {
        name: "a view of a table that is open, but not to the role itself",
        bad: "CREATE TABLE shop.logs (tenant_id text NOT NULL CHECK (tenant_id <> ''), line text);
              CREATE VIEW shop.all_logs AS SELECT * FROM shop.logs; GRANT SELECT ON shop.all_logs TO shop_app",
        rule: "view-bypasses-rls",
        good: "CREATE TABLE shop.logs (tenant_id text NOT NULL CHECK (tenant_id <> ''), line text);
               CREATE VIEW shop.all_logs AS SELECT * FROM shop.logs",
    },
    Case {
        name: "a view through which the role only writes",
        bad: "CREATE VIEW shop.inbox AS SELECT * FROM shop.orders; GRANT INSERT, UPDATE ON shop.inbox TO shop_app",
        rule: "view-bypasses-rls",
        good: "CREATE VIEW shop.inbox WITH (security_invoker = ON) AS SELECT * FROM shop.orders;
               GRANT INSERT, UPDATE ON shop.inbox TO shop_app",
    },
    Case {
        name: "a filtering view with a second part that does not filter",
        bad: "CREATE VIEW shop.mine WITH (security_barrier) AS
                  SELECT id FROM shop.orders WHERE tenant_id = nullif(current_setting('app.tenant', true), '')
                  UNION ALL SELECT id FROM shop.items;
              GRANT SELECT ON shop.mine TO shop_app",
        rule: "view-bypasses-rls",
        good: "CREATE VIEW shop.mine WITH (security_barrier) AS
                   SELECT id FROM shop.orders WHERE tenant_id = nullif(current_setting('app.tenant', true), '') ORDER BY id;
               GRANT SELECT ON shop.mine TO shop_app",
    },
    Case {
        name: "a filtering view with a way around, and an order",
        bad: "CREATE VIEW shop.mine WITH (security_barrier) AS SELECT id FROM shop.orders
                  WHERE tenant_id = nullif(current_setting('app.tenant', true), '') OR status = 'public' ORDER BY id;
              GRANT SELECT ON shop.mine TO shop_app",
        rule: "view-bypasses-rls",
        good: "SELECT 1",
    },
    Case {
        name: "a pinned search path that temporary tables come before",
        bad: "DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO shop_app', current_database()); END $$;
              CREATE FUNCTION shop.first() RETURNS bigint STABLE SECURITY DEFINER SET search_path = shop LANGUAGE sql
                  AS $$ SELECT min(id) FROM orders $$;
              ALTER FUNCTION shop.first() OWNER TO shop_owner",
        rule: "definer-without-search-path",
        good: "CREATE FUNCTION shop.first() RETURNS bigint STABLE SECURITY DEFINER SET search_path = shop LANGUAGE sql
                   AS $$ SELECT min(id) FROM orders $$;
               ALTER FUNCTION shop.first() OWNER TO shop_owner",
    },
    Case {
        name: "a definer function that only names the tenant's column",
        bad: "CREATE FUNCTION shop.list() RETURNS TABLE (whose text, id bigint) STABLE SECURITY DEFINER
                  SET search_path = shop, pg_temp LANGUAGE sql AS 'SELECT tenant_id, id FROM shop.orders';
              REVOKE EXECUTE ON FUNCTION shop.list() FROM PUBLIC; GRANT EXECUTE ON FUNCTION shop.list() TO shop_app",
        rule: "definer-function-bypasses-rls",
        good: "CREATE FUNCTION shop.list() RETURNS TABLE (whose text, id bigint) STABLE SECURITY DEFINER
                   SET search_path = shop, pg_temp LANGUAGE sql AS 'SELECT tenant_id, id FROM shop.orders';
               ALTER FUNCTION shop.list() OWNER TO shop_owner;
               REVOKE EXECUTE ON FUNCTION shop.list() FROM PUBLIC; GRANT EXECUTE ON FUNCTION shop.list() TO shop_app",
    },
    Case {
        name: "a table below one that has no tenant's column itself",
        bad: "CREATE TABLE shop.notes (of_tenant text, order_id bigint, id bigint PRIMARY KEY,
                  FOREIGN KEY (of_tenant, order_id) REFERENCES shop.orders (tenant_id, id));
              CREATE TABLE shop.pictures (note_id bigint REFERENCES shop.notes); GRANT SELECT ON shop.pictures TO shop_app",
        rule: "child-table-without-tenant",
        good: "CREATE TABLE shop.towns (code text REFERENCES shop.countries); GRANT SELECT ON shop.towns TO shop_app",
    },
    Case {
        name: "a view of a table whose tenant's column nobody knows",
        bad: "CREATE TABLE shop.notes (whose text, id bigint); ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY;
              ALTER TABLE shop.notes FORCE ROW LEVEL SECURITY;
              CREATE VIEW shop.all_notes AS SELECT * FROM shop.notes; GRANT SELECT ON shop.all_notes TO shop_app",
        rule: "view-bypasses-rls",
        good: "CREATE TABLE shop.notes (whose text, id bigint); ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY;
               ALTER TABLE shop.notes FORCE ROW LEVEL SECURITY; ALTER TABLE shop.notes OWNER TO shop_owner;
               CREATE VIEW shop.all_notes AS SELECT * FROM shop.notes; ALTER VIEW shop.all_notes OWNER TO shop_owner;
               GRANT SELECT ON shop.all_notes TO shop_app",
    },
    Case {
        name: "a tenant's column of a name that only a policy tells, and a policy beside it",
        bad: "CREATE TABLE shop.notes (company text NOT NULL CHECK (company <> ''), id bigint, PRIMARY KEY (company, id));
              ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.notes FORCE ROW LEVEL SECURITY;
              CREATE POLICY own ON shop.notes TO shop_app USING (company = nullif(current_setting('app.tenant', true), ''));
              CREATE POLICY low ON shop.notes TO shop_app USING (id < 1000); GRANT SELECT ON shop.notes TO shop_app",
        rule: "policy-without-tenant-test",
        good: "CREATE TABLE shop.notes (account_id bigint, tenant text NOT NULL CHECK (tenant <> ''), PRIMARY KEY (tenant, account_id));
               ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.notes FORCE ROW LEVEL SECURITY;
               CREATE POLICY own ON shop.notes TO shop_app USING (tenant = nullif(current_setting('app.tenant', true), ''));
               GRANT SELECT ON shop.notes TO shop_app",
    },
    Case {
        name: "a publication of a whole schema",
        bad: "CREATE PUBLICATION everything FOR TABLES IN SCHEMA shop",
        rule: "published-tenant-table",
        good: "CREATE PUBLICATION places FOR TABLE shop.countries",
    },
];

#[test]
fn what_looks_safe_and_is_not_is_found_and_its_twin_is_not() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_hostile").await;
        let options = Options::for_role("shop_app");
        let mut problems = Vec::new();
        for case in CASES {
            let bad = base.check(case.bad, &options).await;
            if !ids(&bad).contains(case.rule) {
                problems.push(format!("{}: {} is not among {:?}", case.name, case.rule, ids(&bad)));
            }
            let good = base.check(case.good, &options).await;
            let told: Vec<_> = good.found.iter().map(|found| &found.finding.message).collect();
            if !told.is_empty() {
                problems.push(format!("{}: its twin has {told:?}", case.name));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

/// Honest schemas that simple checks complain about.
const QUIET: &[(&str, &str)] = &[
    (
        "a table of tenants' rows that the role cannot touch",
        "CREATE TABLE shop.billing (tenant_id text, amount int); CREATE MATERIALIZED VIEW shop.sums AS SELECT * FROM shop.billing",
    ),
    (
        "one tenant for each partition, reached through the parent",
        "CREATE TABLE shop.events (tenant_id text NOT NULL CHECK (tenant_id <> ''), id bigint NOT NULL,
             PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
         CREATE TABLE shop.events_acme PARTITION OF shop.events FOR VALUES IN ('acme');
         ALTER TABLE shop.events OWNER TO shop_owner; ALTER TABLE shop.events ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.events FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON shop.events TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         GRANT SELECT, INSERT, UPDATE, DELETE ON shop.events TO shop_app",
    ),
    (
        "one policy for each command",
        "DROP POLICY own ON shop.orders;
         CREATE POLICY r ON shop.orders FOR SELECT TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         CREATE POLICY a ON shop.orders FOR INSERT TO shop_app WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), ''));
         CREATE POLICY w ON shop.orders FOR UPDATE TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         CREATE POLICY d ON shop.orders FOR DELETE TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
    ),
    (
        "open policies that a restrictive one holds",
        "DROP POLICY own ON shop.orders; CREATE POLICY anything ON shop.orders USING (status <> 'gone');
         CREATE POLICY own ON shop.orders AS RESTRICTIVE TO shop_app
             USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
    ),
    (
        "two policies that both test the tenant",
        "CREATE POLICY again ON shop.orders TO PUBLIC
             USING (tenant_id = nullif(current_setting('app.tenant', true), '') AND status = 'open')",
    ),
    (
        "a definer function of an ordinary owner, whom force binds",
        "CREATE FUNCTION shop.many() RETURNS bigint STABLE SECURITY DEFINER SET search_path = shop, pg_temp LANGUAGE sql
             AS 'SELECT count(*) FROM shop.orders';
         ALTER FUNCTION shop.many() OWNER TO shop_owner",
    ),
    (
        "a column that may be written, of a table that may not",
        "REVOKE UPDATE, DELETE, INSERT ON shop.orders FROM shop_app; GRANT UPDATE (status) ON shop.orders TO shop_app",
    ),
    (
        "a domain for the tenant's column",
        "CREATE DOMAIN shop.tenant AS text CHECK (VALUE ~ '^[a-z]+$');
         CREATE TABLE shop.notes (tenant_id shop.tenant NOT NULL, id bigint, PRIMARY KEY (tenant_id, id));
         ALTER TABLE shop.notes OWNER TO shop_owner; ALTER TABLE shop.notes ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.notes FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON shop.notes TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         GRANT SELECT, INSERT ON shop.notes TO shop_app",
    ),
    (
        "names that have to be quoted",
        "CREATE SCHEMA \"My Shop\"; CREATE TABLE \"My Shop\".\"Or\"\"ders\" (tenant_id text NOT NULL CHECK (tenant_id <> ''), id bigint,
             PRIMARY KEY (tenant_id, id));
         ALTER TABLE \"My Shop\".\"Or\"\"ders\" ENABLE ROW LEVEL SECURITY;
         ALTER TABLE \"My Shop\".\"Or\"\"ders\" FORCE ROW LEVEL SECURITY;
         CREATE POLICY \"the own\" ON \"My Shop\".\"Or\"\"ders\" TO shop_app
             USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         GRANT USAGE ON SCHEMA \"My Shop\" TO shop_app; GRANT SELECT, UPDATE, INSERT, DELETE ON \"My Shop\".\"Or\"\"ders\" TO shop_app",
    ),
];

#[test]
fn honest_schemas_are_quiet() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_quiet").await;
        let options = Options::for_role("shop_app");
        let mut problems = Vec::new();
        for (name, sql) in QUIET {
            let report = base.check(sql, &options).await;
            let told: Vec<_> = report.found.iter().map(|found| &found.finding.message).collect();
            if !told.is_empty() {
                problems.push(format!("{name}: {told:?}"));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

/// A question that got no answer is told, and never counted as passed.
#[test]
fn what_could_not_be_tried_or_read_is_said() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_said").await;
        let options = Options::for_role("shop_app");
        let said = |report: &Report, what: &str| report.skipped.iter().any(|skipped| skipped.reason.contains(what));
        let flag = "CREATE POLICY support ON shop.orders TO shop_app USING (current_setting('app.support', true) = 'on')";
        let report = base.check(flag, &options).await;
        assert!(ids(&report).contains("policy-not-understood"), "{:?}", report.found);
        let column = "REVOKE UPDATE ON shop.orders FROM shop_app; GRANT UPDATE (status) ON shop.orders TO shop_app";
        let report = base.check(column, &options).await;
        assert!(said(&report, "an UPDATE as a tenant that does not exist told nothing"), "{:?}", report.skipped);
        let large = "UPDATE pg_catalog.pg_class SET reltuples = 2000000 WHERE oid = 'shop.orders'::regclass";
        let report = base.check(large, &options).await;
        assert!(said(&report, "were not tried"), "{:?}", report.skipped);
        base.drop().await;
    });
}

/// A connection whose setting was never made sees what one with an empty setting does not.
#[test]
fn a_session_that_never_had_a_tenant_is_tried_too() {
    runtime().block_on(async {
        let base = Base::new("pw_check_unset").await;
        let schema = SAFE.replace("shop", "kiosk");
        base.client.batch_execute(&schema).await.expect("made");
        base.client
            .batch_execute(
                "DROP POLICY own ON kiosk.orders; CREATE POLICY own ON kiosk.orders TO kiosk_app
                     USING (current_setting('app.tenant', true) IS NULL OR tenant_id = current_setting('app.tenant', true))",
            )
            .await
            .expect("made");
        let mut url = url_of(&superuser());
        url.set_path(base.name);
        let mut options = Options::for_role("kiosk_app");
        options.only = vec!["reads-without-context".to_owned()];
        let mut fresh = connect(url.as_str()).await;
        let report = run(&mut fresh, "db", &options).await.expect("checked");
        let told: Vec<_> = report.found.iter().map(|found| found.finding.message.as_str()).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("kiosk.orders") && told[0].contains("before there was a tenant"), "{told:?}");
        drop(fresh);
        let roles = "DROP SCHEMA kiosk CASCADE; DROP ROLE kiosk_app; DROP ROLE kiosk_owner;";
        base.client.batch_execute(roles).await.expect("dropped");
        base.drop().await;
    });
}

/// Pitfalls (R numbers of the pages' sources) that were seen to happen on a real server and leave a trace in a catalogue. Not
/// among them is what only code, a pooler or a caller's own SQL does.
const VISIBLE: &[u8] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
    35, 36, 37, 38, 39, 40, 41, 42, 43, 45, 47, 48, 50, 52, 54, 55, 56, 57, 59, 64, 65, 69, 71, 72, 73, 74,
    76, 77, 82, 83,
];

#[test]
fn every_pitfall_that_a_catalogue_shows_has_a_page() {
    let sources: BTreeSet<u8> = RULES
        .iter()
        .flat_map(|rule| {
            let (_, source) =
                rule.page().markdown.rsplit_once("Source: ").expect("a page says where it is from");
            source
                .split([',', ' '])
                .filter_map(|word| word.strip_prefix('R')?.parse().ok())
                .collect::<Vec<u8>>()
        })
        .collect();
    let missing: Vec<_> = VISIBLE.iter().filter(|number| !sources.contains(number)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
