//! What `--fix` prints: it runs, it mends, and it loses nothing.

use super::*;

impl Base {
    /// What the SQL of a rule's findings makes of a schema: what is found then, and what a query answers.
    async fn mended(&mut self, sql: &str, rule: &str, ask: &str) -> (Vec<String>, BTreeSet<String>, String) {
        let options = Options { behaviour: false, ..Options::for_role("shop_app") };
        let before = self.check(sql, &options).await;
        let of_rule = |found: &&Found| found.finding.rule == rule;
        assert!(before.found.iter().any(|found| of_rule(&found)), "{rule} is not found: {:?}", before.found);
        let fixes: Vec<String> =
            before.found.iter().filter(of_rule).filter_map(|found| found.sql.clone()).collect();
        let all = format!("{sql};\n{}", fixes.join("\n"));
        let after = self.check(&all, &options).await;
        let left = ids(&after).into_iter().map(str::to_owned).collect();
        let undone = self.client.transaction().await.expect("begins");
        for part in [SAFE, &all] {
            undone.batch_execute(part).await.unwrap_or_else(|error| panic!("{part}: {error:?}"));
        }
        let answer: Option<String> = undone.query_one(ask, &[]).await.expect("answers").get(0);
        undone.rollback().await.expect("undone");
        (fixes, left, answer.unwrap_or_default())
    }
}

const USING: &str = "SELECT pg_get_expr(polqual, polrelid) FROM pg_policy WHERE polrelid = 'shop.orders'::regclass AND polname = 'own'";

fn policy(using: &str) -> String {
    format!("DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app USING ({using})")
}

/// A fix adds the test of the tenant, by the setting that the policy reads, and leaves what else it tests.
#[test]
fn what_else_a_policy_tests_stays() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_stays").await;
        let two = policy("tenant_id = current_setting('app.tenant') AND status = current_setting('app.user')");
        let (fixes, _, using) = base.mended(&two, "strict-setting-in-policy", USING).await;
        assert!(fixes.is_empty() && using.contains("app.user"), "{fixes:?} {using}");
        let other = policy("tenant_id = current_setting('app.current_org')");
        let (fixes, left, using) = base.mended(&other, "strict-setting-in-policy", USING).await;
        assert!(using.contains("NULLIF(current_setting('app.current_org'::text, true)"), "{fixes:?} {using}");
        assert!(!left.contains("strict-setting-in-policy"), "{left:?}");
        for (bad, rule) in [
            ("status = 'open'", "policy-without-tenant-test"),
            ("status = 'open' OR tenant_id = nullif(current_setting('app.tenant', true), '')", "fail-open-policy"),
        ] {
            let (fixes, left, using) = base.mended(&policy(bad), rule, USING).await;
            assert!(using.contains("'open'") && using.contains("AND") && !left.contains(rule), "{fixes:?} {left:?} {using}");
        }
        // The half that is right is not written anew.
        let half = "ALTER POLICY own ON shop.orders USING (tenant_id = nullif(current_setting('app.tenant', true), '') AND status = 'open')
                    WITH CHECK (true)";
        let (fixes, left, using) = base.mended(half, "check-without-tenant-test", USING).await;
        assert!(fixes.iter().all(|sql| !sql.contains("USING")) && left.is_empty() && using.contains("'open'"), "{fixes:?} {left:?}");
        base.drop().await;
    });
}

#[test]
fn keys_are_made_anew_as_they_were() {
    const TABLE: &str = "CREATE TABLE shop.u (tenant_id text NOT NULL CHECK (tenant_id <> ''), id bigint NOT NULL, email text, x int,
            room int, d daterange, PRIMARY KEY (tenant_id, id));
        ALTER TABLE shop.u OWNER TO shop_owner; ALTER TABLE shop.u ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.u FORCE ROW LEVEL SECURITY;
        CREATE POLICY own ON shop.u TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
        GRANT SELECT, INSERT, UPDATE, DELETE ON shop.u TO shop_app;";
    const INDEX: &str = "SELECT string_agg(pg_get_indexdef(indexrelid), ' ') FROM pg_index WHERE indrelid = 'shop.u'::regclass AND NOT indisprimary";
    runtime().block_on(async {
        let mut base = Base::new("pw_check_keys").await;
        for (sql, parts) in [
            ("CREATE UNIQUE INDEX e ON shop.u (lower(email)) INCLUDE (x) WHERE x > 0", ["(tenant_id, lower(email))", "INCLUDE (x)", "WHERE (x > 0)"]),
            ("ALTER TABLE shop.u ADD CONSTRAINT e UNIQUE NULLS NOT DISTINCT (email) DEFERRABLE", ["(tenant_id, email)", "NULLS NOT DISTINCT", "e ON"]),
            ("CREATE EXTENSION btree_gist; ALTER TABLE shop.u ADD EXCLUDE USING gist (room WITH =, d WITH &&)", ["(tenant_id, room, d)", "gist", "u_room_d_excl"]),
        ] {
            let (fixes, left, index) = base.mended(&format!("{TABLE} {sql}"), "global-unique-key", INDEX).await;
            assert!(parts.iter().all(|part| index.contains(part)) && !left.contains("global-unique-key"), "{fixes:?} {left:?} {index}");
        }
        let referred = format!("{TABLE} ALTER TABLE shop.u ADD UNIQUE (id); CREATE TABLE shop.c (uid bigint REFERENCES shop.u (id))");
        let (fixes, ..) = base.mended(&referred, "global-unique-key", INDEX).await;
        assert!(fixes.is_empty(), "{fixes:?}");
        let options = Options::for_role("shop_app");
        let holding = format!("{TABLE} CREATE UNIQUE INDEX ON shop.u ((tenant_id || lower(email)))");
        assert!(base.check(&holding, &options).await.found.is_empty());
        // A key of a partition's own, which is written to through its parent.
        let partition = TABLE.replace("id));", "id)) PARTITION BY LIST (tenant_id);")
            + "CREATE TABLE shop.u_d PARTITION OF shop.u DEFAULT; CREATE UNIQUE INDEX ON shop.u_d (email)";
        assert!(ids(&base.check(&partition, &options).await).contains("global-unique-key"));
        base.drop().await;
    });
}

/// Each runs, and what it is for is not found afterwards.
#[test]
fn the_one_who_has_a_right_loses_it() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_rights").await;
        for (sql, rule) in [
            ("CREATE ROLE shop_group NOLOGIN; GRANT shop_group TO shop_app; GRANT ALL ON shop.orders TO shop_group", "truncate-granted"),
            ("CREATE ROLE shop_group NOLOGIN; GRANT shop_group TO shop_app; CREATE SEQUENCE shop.sq; GRANT ALL ON SEQUENCE shop.sq TO shop_group", "readable-sequence"),
            ("CREATE ROLE shop_mid NOLOGIN; CREATE ROLE shop_adm NOLOGIN BYPASSRLS; GRANT shop_adm TO shop_mid; GRANT shop_mid TO shop_app", "app-role-bypasses-rls"),
            ("CREATE ROLE shop_team NOLOGIN; GRANT shop_owner TO shop_team; GRANT shop_team TO shop_app", "app-role-owns-table"),
            ("ALTER TABLE shop.orders OWNER TO shop_app; ALTER TABLE shop.items OWNER TO shop_app", "app-role-owns-table"),
            ("CREATE PROCEDURE shop.pr() SECURITY DEFINER LANGUAGE sql AS 'DELETE FROM shop.orders'", "definer-function-bypasses-rls"),
            ("CREATE PROCEDURE shop.pr() SECURITY DEFINER LANGUAGE sql AS 'DELETE FROM shop.orders'", "definer-open-to-public"),
            ("CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE USER MAPPING FOR PUBLIC SERVER s", "user-mapping"),
            (
                "CREATE TABLE shop.tags (tenant_id character(20) NOT NULL CHECK (tenant_id <> ''), name text, PRIMARY KEY (tenant_id, name));
                 ALTER TABLE shop.tags ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.tags FORCE ROW LEVEL SECURITY;
                 CREATE POLICY own ON shop.tags TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
                 GRANT SELECT ON shop.tags TO shop_app",
                "fuzzy-tenant-equality",
            ),
        ] {
            let (fixes, left, _) = base.mended(sql, rule, "SELECT ''").await;
            assert!(!fixes.is_empty() && !left.contains(rule), "{rule}: {fixes:?} {left:?}");
        }
        let partitioned = "CREATE TABLE shop.ix (tenant_id text NOT NULL CHECK (tenant_id <> ''), id int, PRIMARY KEY (id, tenant_id)) PARTITION BY HASH (id);
            ALTER TABLE shop.ix ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.ix FORCE ROW LEVEL SECURITY;
            CREATE POLICY p ON shop.ix USING (tenant_id = nullif(current_setting('app.tenant', true), '')); GRANT SELECT ON shop.ix TO shop_app";
        let (fixes, left, _) = base.mended(partitioned, "no-tenant-index", "SELECT ''").await;
        assert!(!left.contains("no-tenant-index"), "{fixes:?}");
        let helper = "CREATE TABLE shop.tm (tenant_id text NOT NULL, uid text, PRIMARY KEY (tenant_id, uid)); ALTER TABLE shop.tm ENABLE ROW LEVEL SECURITY;
            CREATE FUNCTION shop.is_member(t text) RETURNS boolean STABLE SECURITY DEFINER SET search_path = shop, pg_temp LANGUAGE sql
                AS 'SELECT EXISTS (SELECT FROM shop.tm WHERE tenant_id = t AND uid = current_user)';
            CREATE POLICY p ON shop.tm USING (shop.is_member(tenant_id))";
        let (fixes, ..) = base.mended(helper, "definer-function-bypasses-rls", "SELECT ''").await;
        assert!(fixes.is_empty(), "its policy would call itself: {fixes:?}");
        base.drop().await;
    });
}

/// A foreign table is another server's, which may not undo what is undone here.
#[test]
fn nothing_is_tried_on_another_server() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_foreign").await;
        let options = Options::for_role("shop_app");
        let server = "CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw;";
        let parent = "CREATE TABLE shop.ev (tenant_id text NOT NULL, id int) PARTITION BY LIST (tenant_id);
            ALTER TABLE shop.ev ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shop.ev USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
            CREATE FOREIGN TABLE shop.ev_a PARTITION OF shop.ev FOR VALUES IN ('acme') SERVER s OPTIONS (filename '/nowhere');
            GRANT SELECT, DELETE ON shop.ev TO shop_app";
        let table = "CREATE FOREIGN TABLE shop.fo (tenant_id text NOT NULL, id bigint) SERVER s OPTIONS (filename '/nowhere');
            GRANT SELECT, UPDATE, DELETE ON shop.fo TO shop_app";
        for (sql, name) in [(parent, "shop.ev"), (table, "shop.fo")] {
            let report = base.check(&format!("{server} {sql}"), &options).await;
            let of: Vec<&str> = report.skipped.iter().filter(|s| s.path == name).map(|s| s.reason.as_str()).collect();
            assert!(matches!(of.as_slice(), [one] if one.contains("is a foreign table")), "{:?}", report.skipped);
        }
        base.drop().await;
    });
}

/// What `partywall rls` prints of a table with keys leaves what they do as it was.
#[test]
fn the_printed_migration_keeps_what_keys_do() {
    use crate::migration::of_live;
    runtime().block_on(async {
        let mut base = Base::new("pw_check_actions").await;
        let undone = base.client.transaction().await.expect("begins");
        let table = "CREATE TABLE shop.p (tenant_id text NOT NULL, id bigint PRIMARY KEY, UNIQUE (tenant_id, id));
            CREATE TABLE shop.wild (tenant_id text NOT NULL, id bigint, pid bigint, email text,
                CONSTRAINT fk FOREIGN KEY (pid) REFERENCES shop.p (id) ON UPDATE CASCADE ON DELETE SET NULL);
            CREATE UNIQUE INDEX wild_email ON shop.wild (lower(email)) WHERE id > 0";
        undone.batch_execute(SAFE).await.expect("made");
        undone.batch_execute(table).await.expect("made");
        let table = wild();
        let text = of_live(&undone, &table).await.expect("a migration");
        undone.batch_execute(&text.replace("BEGIN;\n", "").replace("COMMIT;\n", "")).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        let ask = "SELECT (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'fk') || pg_get_indexdef('shop.wild_email'::regclass)";
        let is: String = undone.query_one(ask, &[]).await.expect("answers").get(0);
        for part in ["(tenant_id, pid)", "ON UPDATE CASCADE", "ON DELETE SET NULL (pid)", "(tenant_id, lower(email))", "WHERE (id > 0)"] {
            assert!(is.contains(part), "{part}: {is}\n{text}");
        }
        undone.rollback().await.expect("undone");
        base.drop().await;
    });
}
