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
        "CREATE FUNCTION every_ticket() RETURNS SETOF tickets LANGUAGE sql SECURITY DEFINER SET search_path = public AS \
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
    for (bad, rule, good) in BAD {
        lab.open();
        lab.sql(&fill(bad)).await;
        let error = lab.try_open(Outside::default()).expect_err(bad);
        let text = error.to_string();
        assert!(matches!(error, DataError::Configuration(_)), "{text}");
        assert!(
            text.contains(rule) && text.contains("source `desk`") && text.contains("allow = ["),
            "{bad}: {text}"
        );
        lab.sql(&fill(good)).await;
    }
    lab.open();
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_for_a_reason_passes_and_is_told() {
    let mut lab = Lab::rls().await;
    let app = format!("{}_app", lab.name);
    lab.sql(&format!("CREATE TABLE board (note text); GRANT SELECT, INSERT ON board TO {app}")).await;
    lab.settings.push_str("allow = [{ rule = \"tenant-table-without-rls\", reason = \"a board for all\" }]");
    let told = lab.open().verify().expect("allowed");
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
