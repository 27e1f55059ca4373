//! Tables that have grown: partitioned by tenant, with the policy on the parent.

use super::*;

/// Hash partitions for all, as `docs/postgres.md` says; the gateway's role has rights on the parent only.
const PARTITIONED: &str = "
    CREATE TABLE tickets (
        tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), '') CHECK (tenant_id <> ''),
        id bigint NOT NULL, title text NOT NULL, PRIMARY KEY (tenant_id, id)) PARTITION BY HASH (tenant_id);
    CREATE TABLE tickets_0 PARTITION OF tickets FOR VALUES WITH (MODULUS 4, REMAINDER 0);
    CREATE TABLE tickets_1 PARTITION OF tickets FOR VALUES WITH (MODULUS 4, REMAINDER 1);
    CREATE TABLE tickets_2 PARTITION OF tickets FOR VALUES WITH (MODULUS 4, REMAINDER 2);
    CREATE TABLE tickets_3 PARTITION OF tickets FOR VALUES WITH (MODULUS 4, REMAINDER 3);
    ALTER TABLE tickets ENABLE ROW LEVEL SECURITY;
    ALTER TABLE tickets FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON tickets TO APP USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
    GRANT SELECT, INSERT, UPDATE, DELETE ON tickets TO APP;
    INSERT INTO tickets (tenant_id, id, title)
        SELECT 't' || tenant, n, 'ticket ' || n || ' of t' || tenant
        FROM generate_series(1, 40) tenant, generate_series(1, 5) n;
    ANALYZE tickets;";

async fn partitioned() -> Lab {
    let lab = Lab::empty("isolation = \"rls\"").await;
    lab.sql(&PARTITIONED.replace("APP", &format!("{}_app", lab.name))).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partitioned_table_keeps_tenants_apart_and_reads_one_partition() {
    let lab = partitioned().await;
    let sources = lab.open();
    for tenant in ["t1", "t2", "t7"] {
        let seen = rows(&sources, tenant, "SELECT tenant_id, count(*) AS n FROM tickets GROUP BY 1").await;
        assert_eq!(seen, json!([{"tenant_id": tenant, "n": 5}]));
    }
    let wipe = sources.compile("desk", "DELETE FROM tickets", &[], true).expect("compiles");
    assert_eq!(run(&sources, "t1", &wipe, json!({})).await.expect("runs").changed, 5);
    assert_eq!(lab.sql("SELECT count(*) FROM tickets").await, [["195"]]);
    // The server takes three of the four partitions out of the plan when the statement begins.
    let app = format!("{}_app", lab.name);
    let plan = lab
        .sql(&format!(
            "SET ROLE {app}; SET app.tenant = 't2'; EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM tickets"
        ))
        .await;
    let plan: Vec<String> = plan.into_iter().flatten().collect();
    assert!(plan.iter().any(|line| line.contains("Subplans Removed: 3")), "{plan:?}");
}

/// A partition has policies of its own, or none: whoever may name it reads past the parent's.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_the_role_may_name_refuses_the_start() {
    let lab = partitioned().await;
    let sources = lab.open();
    for partition in 0..4 {
        let sql = format!("SELECT title FROM tickets_{partition}");
        let named =
            sources.compile("desk", &sql, &[], false).expect("the server looks at rights when it runs");
        let error = run(&sources, "t1", &named, json!({})).await.expect_err("no right");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!error.to_string().contains("of t"), "{error}");
    }
    lab.sql(&format!("GRANT SELECT ON tickets_0 TO {}_app", lab.name)).await;
    let error = lab.try_open(Outside::default()).expect_err("a way past the policy");
    assert!(error.to_string().contains("tickets_0"), "{error}");
}
