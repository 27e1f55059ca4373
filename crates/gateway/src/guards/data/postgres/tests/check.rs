//! What the server's catalogue is asked at start: tables that no policy governs are refused, by name.

use super::*;

/// A change of the tables, what it is called, and what makes it good again.
const BAD: &[(&str, &str, &str)] = &[
    (
        "ALTER TABLE tickets DISABLE ROW LEVEL SECURITY",
        "tenant-table-without-rls",
        "ALTER TABLE tickets ENABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER TABLE tickets NO FORCE ROW LEVEL SECURITY",
        "rls-not-forced-on-owner",
        "ALTER TABLE tickets FORCE ROW LEVEL SECURITY",
    ),
    (
        "DROP POLICY own ON tickets",
        "rls-without-policy",
        "CREATE POLICY own ON tickets TO APP USING (tenant_id = nullif(current_setting('app.tenant', true), ''))",
    ),
    ("GRANT TRUNCATE ON tickets TO APP", "truncate-granted", "REVOKE TRUNCATE ON tickets FROM APP"),
    (
        "CREATE TABLE copies AS TABLE tickets; GRANT SELECT ON copies TO APP",
        "tenant-table-without-rls",
        "DROP TABLE copies",
    ),
    (
        "CREATE TABLE copies (LIKE tickets); GRANT SELECT (title) ON copies TO APP",
        "tenant-table-without-rls",
        "DROP TABLE copies",
    ),
    // What the whole check finds.
    (
        "CREATE POLICY wide ON tickets TO APP USING (true)",
        "policy-without-tenant-test",
        "DROP POLICY wide ON tickets",
    ),
    (
        "CREATE VIEW every_view AS SELECT * FROM tickets; GRANT SELECT ON every_view TO APP",
        "view-bypasses-rls",
        "DROP VIEW every_view",
    ),
    (
        "CREATE FUNCTION every_ticket() RETURNS SETOF tickets LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS \
         'SELECT * FROM tickets'",
        "definer-function-bypasses-rls",
        "DROP FUNCTION every_ticket()",
    ),
    // No tenant's column, and yet a place where one tenant can leave something for another.
    (
        "CREATE TABLE board (note text); GRANT SELECT, INSERT ON board TO APP",
        "tenant-table-without-rls",
        "DROP TABLE board",
    ),
    (
        "CREATE MATERIALIZED VIEW sums AS SELECT tenant_id, count(*) FROM tickets GROUP BY 1; GRANT SELECT ON sums TO APP",
        "materialized-view-of-tenants",
        "DROP MATERIALIZED VIEW sums",
    ),
    // No column says whose its rows are; what it reads does.
    (
        "CREATE MATERIALIZED VIEW newest AS SELECT id, title FROM tickets; GRANT SELECT ON newest TO APP",
        "materialized-view-of-tenants",
        "DROP MATERIALIZED VIEW newest",
    ),
    // What the check is not sure of.
    (
        "CREATE TABLE comments (of_tenant text, ticket bigint, body text, FOREIGN KEY (of_tenant, ticket) REFERENCES tickets);
         GRANT SELECT ON comments TO APP",
        "child-table-without-tenant",
        "DROP TABLE comments",
    ),
    (
        "CREATE TABLE comments (of_tenant text, ticket bigint, id int PRIMARY KEY,
             FOREIGN KEY (of_tenant, ticket) REFERENCES tickets);
         CREATE TABLE pictures (comment int REFERENCES comments, picture bytea); GRANT SELECT ON pictures TO APP",
        "child-table-without-tenant",
        "DROP TABLE pictures, comments",
    ),
    (
        "CREATE FUNCTION titles() RETURNS TABLE (whose text, title text) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
         AS 'SELECT tenant_id, title FROM tickets'",
        "definer-function-bypasses-rls",
        "DROP FUNCTION titles()",
    ),
    (
        "CREATE FUNCTION titles() RETURNS TABLE (whose text, title text) LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
         AS $$SELECT current_setting('app.tenant', true), title FROM tickets$$",
        "definer-function-bypasses-rls",
        "DROP FUNCTION titles()",
    ),
    (
        "CREATE FUNCTION may_see(bigint) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
         CREATE POLICY seen ON tickets TO APP USING (may_see(id))",
        "policy-not-understood",
        "DROP POLICY seen ON tickets; DROP FUNCTION may_see(bigint)",
    ),
    (
        "CREATE POLICY others ON tickets TO APP USING (tenant_id <> nullif(current_setting('app.tenant', true), ''))",
        "policy-not-understood",
        "DROP POLICY others ON tickets",
    ),
    (
        "CREATE TABLE parts (tenant_id text, id int) PARTITION BY LIST (tenant_id); GRANT SELECT ON parts TO APP",
        "tenant-table-without-rls",
        "DROP TABLE parts",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_no_policy_governs_keep_the_gateway_from_starting() {
    let lab = Lab::rls().await;
    let fill = |sql: &str| sql.replace("APP", &format!("{}_app", lab.name));
    let mut problems = Vec::new();
    for (bad, rule, good) in BAD {
        lab.open();
        lab.sql(&fill(bad)).await;
        match lab.try_open(Outside::default()) {
            Ok(_) => problems.push(format!("{bad}: is served")),
            Err(DataError::Configuration(text))
                if text.contains(rule) && text.contains("source `desk`") && text.contains("allow = [") => {}
            Err(error) => problems.push(format!("{bad}: {error}")),
        }
        lab.sql(&fill(good)).await;
    }
    lab.open();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_cannot_reach_or_is_the_same_for_all_is_fine() {
    let lab = Lab::rls().await;
    let app = format!("{}_app", lab.name);
    lab.sql(&format!(
        "CREATE TABLE countries (code text PRIMARY KEY, name text); GRANT SELECT ON countries TO {app};
         CREATE TABLE ledger (tenant_id text, id int);
         CREATE SCHEMA hidden; CREATE TABLE hidden.ledger (tenant_id text); GRANT SELECT ON hidden.ledger TO {app};
         CREATE TABLE parts (tenant_id text, id int) PARTITION BY LIST (tenant_id);
         CREATE TABLE parts_acme PARTITION OF parts FOR VALUES IN ('acme');
         ALTER TABLE parts ENABLE ROW LEVEL SECURITY; ALTER TABLE parts FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON parts USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
         GRANT SELECT ON parts TO {app}"
    ))
    .await;
    lab.open();
}

/// A table whose tenant's column is COLUMN, with a policy that tests it.
const OTHER_COLUMN: &str = "
    CREATE TABLE orders (COLUMN text NOT NULL CHECK (COLUMN <> ''), id bigint, title text, PRIMARY KEY (COLUMN, id));
    ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    ALTER TABLE orders FORCE ROW LEVEL SECURITY;
    CREATE FUNCTION whose() RETURNS text STABLE LANGUAGE sql AS $$SELECT nullif(current_setting('app.tenant', true), '')$$;
    CREATE POLICY own ON orders TO APP USING (COLUMN = TENANT);
    GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO APP;";

/// What the gateway must find in a table of [`OTHER_COLUMN`], whatever the column is called.
const WAYS_AROUND: &[(&str, &str, &str)] = &[
    (
        "CREATE POLICY wide ON orders TO APP USING (true)",
        "policy-without-tenant-test",
        "DROP POLICY wide ON orders",
    ),
    (
        "CREATE VIEW all_orders AS SELECT title FROM orders; GRANT SELECT ON all_orders TO APP",
        "view-bypasses-rls",
        "DROP VIEW all_orders",
    ),
    (
        "CREATE FUNCTION all_orders() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS \
         'SELECT title FROM orders'",
        "definer-function-bypasses-rls",
        "DROP FUNCTION all_orders()",
    ),
    (
        "CREATE MATERIALIZED VIEW all_orders AS SELECT title FROM orders; GRANT SELECT ON all_orders TO APP",
        "materialized-view-of-tenants",
        "DROP MATERIALIZED VIEW all_orders",
    ),
];

/// The usual name, one that is given, and one that a policy gives away by comparing it with the setting.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_judged_whatever_the_tenants_column_is_called() {
    const SETTING: &str = "nullif(current_setting('app.tenant', true), '')";
    let mut problems = Vec::new();
    for (column, tenant, settings) in [
        ("tenant", "whose()", ""),
        ("tenant", SETTING, ""),
        ("company_id", SETTING, ""),
        ("company_id", "whose()", "tenant_columns = [\"company_id\"]"),
    ] {
        let lab = Lab::rls_with(settings).await;
        let fill = |sql: &str| {
            let sql = sql.replace("COLUMN", column).replace("TENANT", tenant);
            sql.replace("APP", &format!("{}_app", lab.name))
        };
        lab.sql(&fill(OTHER_COLUMN)).await;
        for (bad, rule, good) in WAYS_AROUND {
            lab.open();
            lab.sql(&fill(bad)).await;
            match lab.try_open(Outside::default()) {
                Ok(_) => problems.push(format!("{column} {tenant}: {bad}: is served")),
                Err(error) if error.to_string().contains(rule) => {}
                Err(error) => problems.push(format!("{column} {tenant}: {bad}: {error}")),
            }
            lab.sql(&fill(good)).await;
        }
        lab.open();
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Row-level security says that the rows are somebody's; whose, has to be known.
#[tokio::test(flavor = "multi_thread")]
async fn policies_of_a_table_whose_tenants_column_is_not_known_are_not_taken_for_good() {
    let mut lab = Lab::rls().await;
    let app = format!("{}_app", lab.name);
    let sql = OTHER_COLUMN.replace("COLUMN", "company_id").replace("TENANT", "whose()").replace("APP", &app);
    lab.sql(&sql).await;
    let error = lab.try_open(Outside::default()).map(|_| ()).expect_err("not judged").to_string();
    for told in ["rls-without-tenant-column", "public.orders", "tenant_columns", "allow = ["] {
        assert!(error.contains(told), "{told}: {error}");
    }
    lab.settings.push_str("tenant_columns = [\"company_id\"]\n");
    lab.open();
    // A list of tenants is its own tenant's column, if its policy says so.
    lab.sql(&format!(
        "CREATE TABLE companies (id text PRIMARY KEY, name text); GRANT SELECT ON companies TO {app};
         ALTER TABLE companies ENABLE ROW LEVEL SECURITY; ALTER TABLE companies FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON companies TO {app} USING (id = nullif(current_setting('app.tenant', true), ''))"
    ))
    .await;
    lab.open();
    lab.sql(&format!("CREATE POLICY wide ON companies TO {app} USING (name <> '')")).await;
    let error = lab.try_open(Outside::default()).map(|_| ()).expect_err("wide").to_string();
    assert!(error.contains("policy-without-tenant-test"), "{error}");
}

/// What does not show rows of others is served, and said.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_less_than_grave_is_told_and_does_not_keep_the_gateway_from_starting() {
    let lab = Lab::rls().await;
    assert_eq!(lab.open().verify().expect("good"), []);
    lab.sql("CREATE UNIQUE INDEX of_all ON tickets (slug)").await;
    let told = lab.open().verify().expect("served");
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(
        !told.allowed
            && told.told.starts_with("desk is served with global-unique-key")
            && told.told.contains("tickets"),
        "{told:?}"
    );
}

/// Who answers for one table does not answer for the next.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_of_one_object_is_not_allowed_of_another() {
    let mut lab = Lab::rls().await;
    let app = format!("{}_app", lab.name);
    lab.settings.push_str(
        "allow = [{ rule = \"tenant-table-without-rls\", object = \"public.board\", reason = \"a board for all\" },
                  { rule = \"policy-without-tenant-test\", object = \"news on public.tickets\", reason = \"news\" }]",
    );
    lab.sql(&format!(
        "CREATE TABLE board (note text); GRANT SELECT, INSERT ON board TO {app};
         CREATE POLICY news ON tickets TO {app} USING (status = 'news')"
    ))
    .await;
    assert_eq!(lab.open().verify().expect("allowed").len(), 2);
    lab.sql(&format!("CREATE TABLE copies AS TABLE tickets; GRANT SELECT ON copies TO {app}")).await;
    let error = lab.try_open(Outside::default()).map(|_| ()).expect_err("copies").to_string();
    assert!(error.contains("public.copies") && !error.contains("public.board"), "{error}");
    lab.sql(&format!("DROP TABLE copies; CREATE POLICY wide ON tickets TO {app} USING (true)")).await;
    let error = lab.try_open(Outside::default()).map(|_| ()).expect_err("wide").to_string();
    assert!(error.contains("wide on public.tickets"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_for_a_reason_passes_and_is_told() {
    let mut lab = Lab::rls().await;
    let app = format!("{}_app", lab.name);
    lab.sql(&format!("CREATE TABLE board (note text); GRANT SELECT, INSERT ON board TO {app}")).await;
    lab.settings.push_str("allow = [{ rule = \"tenant-table-without-rls\", reason = \"a board for all\" }]");
    let told = lab.open().verify().expect("allowed");
    let told: Vec<&str> = told.iter().map(|passed| passed.told.as_str()).collect();
    assert_eq!(told, ["desk allows tenant-table-without-rls (a board for all): public.board"]);
    lab.sql(&format!("GRANT TRUNCATE ON board TO {app}")).await;
    let error = lab.try_open(Outside::default()).expect_err("another rule").to_string();
    assert!(error.contains("truncate-granted") && !error.contains("[tenant-table-without-rls]"), "{error}");
    // The role itself is not to be argued about.
    lab.settings = lab.settings.replace("tenant-table-without-rls", "app-role-bypasses-rls");
    lab.sql(&format!("DROP TABLE board; ALTER ROLE {app} BYPASSRLS")).await;
    lab.try_open(Outside::default()).expect_err("a role that no policy holds for");
}

/// Who has allowed what can be read later.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_stands_in_the_audit_log() {
    let lab = Lab::rls().await;
    lab.sql("ALTER TABLE tickets NO FORCE ROW LEVEL SECURITY").await;
    let text = "[data.desk]\ndriver = \"postgres\"\nurl = \"env:DB\"\nisolation = \"rls\"\n\
                allow = [{ rule = \"rls-not-forced-on-owner\", reason = \"the owner is nobody\" }]\n\
                [identity]\ndevelopment = true\n[[tool]]\nname = \"t\"\ndescription = \"x\"\nsource = \"desk\"\nsql = \"SELECT 1 AS n\"\n";
    let config = crate::config::Config::parse(text, "p.toml", lab.folder.path()).expect("a configuration");
    let url = lab.url();
    let environment = crate::config::Environment::from_fn(move |name| (name == "DB").then(|| url.clone()));
    let data_dir = config.data_dir();
    let gateway = crate::Gateway::builder(config).environment(environment).open().expect("opens");
    drop(gateway);
    let lines = crate::guards::disclosure::audit::tail(&data_dir, "-unattributed", 10).expect("a log");
    let told = lines.iter().any(|line| {
        line.contains("config/allow")
            && line.contains("rls-not-forced-on-owner")
            && line.contains("the owner is nobody")
    });
    assert!(told, "{lines:?}");
}

/// The example's tables pass every rule, and its tools compile.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_starts() {
    let lab = Lab::empty("").await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/alerts-postgres");
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).expect("a file of the example");
        text.replace("alerts_owner", &format!("{}_owner", lab.name))
            .replace("alerts_app", &format!("{}_app", lab.name))
    };
    // The lab has made the gateway's role.
    lab.sql(&read("migrations/001_roles.sql").replace(&format!("CREATE ROLE {}_app LOGIN;", lab.name), ""))
        .await;
    lab.sql(&read("migrations/002_alerts.sql")).await;
    let config = crate::config::Config::parse(&read("partywall.toml"), "partywall.toml", lab.folder.path());
    let url = lab.url();
    let environment =
        crate::config::Environment::from_fn(move |name| (name == "ALERTS_URL").then(|| url.clone()));
    let opened = crate::Gateway::builder(config.expect("a configuration")).environment(environment).open();
    drop(opened.expect("opens"));
    // Before its objects go with the database.
    lab.sql(&format!("DROP TABLE alerts; REVOKE ALL ON SCHEMA public FROM {}_owner", lab.name)).await;
}
