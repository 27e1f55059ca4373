//! What passes for a test of the tenant and leaves something out, what looks like none and is one, and what takes long.

use super::{
    reading::{HELPERS, by_catalogue, grave, nothing_is_told, policy},
    *,
};

/// The setting as policies read it.
const S: &str = "nullif(current_setting('app.tenant', true), '')";

/// Memberships and what they refer to.
const TABLES: &str = "
    CREATE TABLE shop.users (id text PRIMARY KEY, email text);
    CREATE TABLE shop.countries_of (code text PRIMARY KEY);
    CREATE TABLE shop.accounts (code text PRIMARY KEY, plan text, region text);
    CREATE TABLE shop.grp (id int PRIMARY KEY, codes text[], leader text, visited text);
    CREATE TABLE shop.mem (code text, uid text, country text, PRIMARY KEY (code, uid));
    CREATE TABLE shop.grants (code text PRIMARY KEY, role text, db_user text);
    CREATE TYPE shop.org AS ENUM ('acme', 'globex');
    CREATE FUNCTION shop.claim(text, text) RETURNS text STABLE LANGUAGE sql AS $$ SELECT auth.jwt() -> $1 ->> $2 $$;
    CREATE FUNCTION auth.role() RETURNS text STABLE LANGUAGE sql AS $$ SELECT coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'))::text $$;
    CREATE FUNCTION shop.may(text) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
    GRANT SELECT ON shop.users, shop.countries_of, shop.accounts, shop.mem, shop.grants, shop.grp TO shop_app;";

const USER: &str = "m.uid = current_setting('app.user', true)";

/// What a policy tests, and the rule that must keep the gateway from starting.
const LEAKS: &[(&str, &str)] = &[
    (
        "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.users u ON u.id = m.uid JOIN shop.accounts t ON t.plan <> '' WHERE {U} AND t.code = orders.tenant_id)",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.mem n USING (uid) JOIN shop.accounts t ON t.plan <> '' WHERE {U} AND t.code = orders.tenant_id)",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.accounts a ON a.code = m.code JOIN shop.accounts b ON b.plan = a.plan WHERE {U} AND b.code = orders.tenant_id)",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.mem n ON n.country = m.country WHERE {U} AND n.code = orders.tenant_id)",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.countries_of c ON c.code = m.country JOIN shop.mem n ON n.country = c.code WHERE {U} AND n.code = orders.tenant_id)",
        "policy-not-understood",
    ),
    (
        "tenant_id IN (SELECT n.code FROM shop.mem n WHERE n.country IN (SELECT m.country FROM shop.mem m WHERE {U}))",
        "policy-not-understood",
    ),
    ("tenant_id = (current_setting('request.headers', true)::json ->> 'x-tenant-id')", "fail-open-policy"),
    (
        "tenant_id = (nullif(current_setting('request.cookies', true), '')::json ->> 'tenant')",
        "fail-open-policy",
    ),
    ("tenant_id = current_setting('application_name')", "fail-open-policy"),
    ("tenant_id = shop.claim('user_metadata', 'org')", "fail-open-policy"),
    ("tenant_id = jsonb_extract_path_text(auth.jwt(), 'user_metadata', 'org')", "fail-open-policy"),
    (
        "EXISTS (SELECT 1 FROM shop.grants g WHERE g.code = orders.tenant_id AND g.role = current_setting('request.jwt.claim.role', true))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.grants g WHERE g.code = orders.tenant_id AND g.role = auth.role())",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.grants g WHERE g.code = orders.tenant_id AND g.db_user = current_user)",
        "policy-not-understood",
    ),
    ("tenant_id = {S}::varchar(4)", "policy-not-understood"),
    ("tenant_id = ltrim({S}, 'ac')", "policy-not-understood"),
    ("tenant_id = trim(both 'ac' from {S})", "policy-not-understood"),
    ("tenant_id = lower({S})", "policy-not-understood"),
    ("tenant_id ~ '^[0-9]+$' AND tenant_id::int = {S}::int", "policy-not-understood"),
    ("tenant_id = concat('acme', current_setting('app.suffix', true))", "policy-not-understood"),
    ("(tenant_id = NULL::text) IS NOT FALSE", "policy-without-tenant-test"),
    ("CASE WHEN tenant_id = {S} THEN false ELSE true END", "policy-without-tenant-test"),
    ("CASE WHEN tenant_id <> {S} THEN false ELSE true END", "policy-not-understood"),
    // A SELECT that has a row of no rows.
    (
        "EXISTS (SELECT count(*) FROM shop.mem m WHERE m.code = orders.tenant_id AND {U})",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT max(m.code) FROM shop.mem m WHERE m.code = orders.tenant_id AND {U})",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} HAVING true)",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} GROUP BY ())",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} GROUP BY GROUPING SETS ((), (m.code)))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} GROUP BY ROLLUP (m.code))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} ORDER BY count(*))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT (SELECT max(m.code)) FROM shop.mem m WHERE m.code = orders.tenant_id AND {U})",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} WINDOW w AS (ORDER BY count(*)))",
        "policy-not-understood",
    ),
    // A list or an object of the session's values and of others.
    ("tenant_id = ANY (ARRAY[{S}] || ARRAY['globex'::text])", "fail-open-policy"),
    ("tenant_id = ANY (ARRAY[{S}] || 'public'::text)", "fail-open-policy"),
    ("tenant_id = ANY (ARRAY[ARRAY[{S}] || ARRAY['globex'::text]])", "fail-open-policy"),
    (
        "tenant_id = ANY (ARRAY(SELECT m.code FROM shop.mem m WHERE {U}) || ARRAY['public'::text])",
        "fail-open-policy",
    ),
    ("tenant_id = ANY (coalesce(ARRAY[{S}] || ARRAY['globex'::text], '{}'))", "fail-open-policy"),
    ("tenant_id = ANY (('{' || {S} || ',globex}')::text[])", "fail-open-policy"),
    ("tenant_id = ((auth.jwt() || '{\"org\":\"globex\"}'::jsonb) ->> 'org')", "fail-open-policy"),
    (
        "EXISTS (SELECT 1 FROM shop.mem m WHERE m.code = orders.tenant_id AND m.uid = ANY (ARRAY[current_setting('app.user', true)] || ARRAY['u2'::text]))",
        "policy-not-understood",
    ),
    // What is in one list is not one's.
    (
        "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.grp g ON m.code = ANY (g.codes) WHERE {U} AND orders.tenant_id = ANY (g.codes))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.grp g WHERE {S} = ANY (g.codes) AND orders.tenant_id = ANY (g.codes))",
        "policy-not-understood",
    ),
    // What many have.
    (
        "EXISTS (SELECT 1 FROM shop.grants g WHERE g.code = orders.tenant_id AND g.role = current_setting('app.role', true))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.accounts a WHERE a.code = orders.tenant_id AND a.region = current_setting('app.user_region', true))",
        "policy-not-understood",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.accounts a WHERE a.code = orders.tenant_id AND a.plan = auth.jwt() ->> 'plan')",
        "policy-not-understood",
    ),
    ("tenant_id = (auth.jwt() -> 'unsafe_metadata' ->> 'org_id')", "fail-open-policy"),
    // Whom many countries' members belong to.
    (
        "tenant_id IN (SELECT m.code FROM shop.mem m WHERE m.country IN (SELECT c.code FROM shop.countries_of c WHERE c.code = (SELECT n.country FROM shop.mem n WHERE n.uid = current_setting('app.user', true))))",
        "policy-not-understood",
    ),
];

/// SQL before the policy, what it tests, and the rule.
const AROUND: &[(&str, &str, &str)] = &[
    (
        "CREATE FUNCTION shop.list() RETURNS text[] STABLE LANGUAGE sql AS
             $$ SELECT ARRAY[nullif(current_setting('app.tenant', true), '')] || ARRAY['globex'] $$;",
        "tenant_id = ANY (shop.list())",
        "fail-open-policy",
    ),
    (
        "CREATE FUNCTION shop.list() RETURNS text STABLE LANGUAGE plpgsql AS
             $$ BEGIN RETURN '{' || nullif(current_setting('app.tenant', true), '') || ',globex}'; END $$;",
        "tenant_id = ANY (shop.list()::text[])",
        "fail-open-policy",
    ),
    (
        "CREATE FUNCTION shop.token() RETURNS jsonb STABLE LANGUAGE sql AS
             $$ SELECT current_setting('request.jwt.claims', true)::jsonb || '{\"org\": \"globex\"}'::jsonb $$;",
        "tenant_id = (shop.token() ->> 'org')",
        "fail-open-policy",
    ),
    (
        "CREATE FUNCTION shop.me() RETURNS text STABLE LANGUAGE sql AS 'SELECT current_user::text';
         CREATE ROLE shop_a NOLOGIN; CREATE ROLE shop_b NOLOGIN; GRANT shop_a, shop_b TO shop_app;
         CREATE POLICY a ON shop.items TO shop_a USING (tenant_id = shop.me());
         CREATE POLICY b ON shop.items TO shop_b USING (tenant_id = shop.me());",
        "tenant_id = shop.me()",
        "policy-not-understood",
    ),
    (
        "CREATE ROLE shop_editor NOLOGIN; CREATE ROLE shop_viewer NOLOGIN; GRANT shop_editor, shop_viewer TO shop_app;
         CREATE POLICY e ON shop.items TO shop_editor USING (tenant_id = {S});
         CREATE POLICY v ON shop.items FOR SELECT TO shop_viewer USING (tenant_id = {S});",
        "EXISTS (SELECT 1 FROM shop.grants g WHERE g.code = orders.tenant_id AND g.db_user = current_user)",
        "policy-not-understood",
    ),
    (
        "CREATE ROLE shop_a NOLOGIN; CREATE ROLE shop_b NOLOGIN; GRANT shop_a, shop_b TO shop_app;
         CREATE POLICY a ON shop.items TO shop_a USING (tenant_id = current_user);
         CREATE POLICY b ON shop.items TO shop_b USING (tenant_id = current_user);",
        "tenant_id = current_user",
        "policy-not-understood",
    ),
    (
        "ALTER TABLE shop.orders ADD CHECK (tenant_id ~ '^[!-~]+$');",
        "tenant_id = lower({S})",
        "policy-not-understood",
    ),
    (
        "ALTER TABLE shop.orders ADD CHECK (tenant_id ~ '^[0-z]+$');",
        "tenant_id = lower({S})",
        "policy-not-understood",
    ),
    (
        "CREATE TABLE shop.par (code text, plan text PRIMARY KEY); CREATE TABLE shop.chi () INHERITS (shop.par);
         GRANT SELECT ON shop.par TO shop_app;",
        "EXISTS (SELECT 1 FROM shop.par p JOIN shop.mem m ON m.country = p.plan WHERE {U} AND p.code = orders.tenant_id)",
        "policy-not-understood",
    ),
];

/// What is safe, and nothing is said of it.
const QUIET: &[&str] = &[
    "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.accounts a ON a.code = m.code WHERE {U} AND a.code = orders.tenant_id)",
    "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.accounts a USING (code) WHERE {U} AND a.code = orders.tenant_id AND a.plan = 'pro')",
    "tenant_id IN (SELECT m.code FROM shop.users u JOIN shop.mem m ON m.uid = u.id WHERE u.email = current_setting('app.email', true))",
    "tenant_id IN (SELECT m.code FROM shop.mem m LEFT JOIN shop.accounts a ON a.code = m.code WHERE {U})",
    "tenant_id IN (SELECT a.code FROM shop.accounts a WHERE a.code IN (SELECT m.code FROM shop.mem m WHERE {U}))",
    "tenant_id IN (SELECT i.tenant_id FROM shop.mem m JOIN shop.items i ON i.tenant_id = m.code WHERE {U})",
    "tenant_id = shop.claim('app_metadata', 'org')",
    "tenant_id = jsonb_extract_path_text(auth.jwt(), 'app_metadata', 'org')",
    "CASE WHEN tenant_id = {S} THEN true ELSE false END",
    "CASE tenant_id WHEN {S} THEN true ELSE false END",
    "tenant_id = trim({S})",
    "NOT (tenant_id <> {S})",
    "tenant_id = {S}::shop.org::text",
    "EXISTS (SELECT m.code, lower(m.country) FROM shop.mem m WHERE m.code = orders.tenant_id AND {U})",
    "EXISTS (SELECT count(*) FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} GROUP BY m.code HAVING count(*) > 0)",
    "EXISTS (SELECT FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} ORDER BY m.code LIMIT 1)",
    "tenant_id = ANY (ARRAY[{S}] || ARRAY[current_setting('app.parent', true)])",
    "tenant_id = ANY (ARRAY(SELECT m.code FROM shop.mem m WHERE {U}) || {S})",
    "tenant_id = ANY (('{' || current_setting('app.tenants', true) || '}')::text[])",
    "tenant_id = ((auth.jwt() || '{}'::jsonb) ->> 'org')",
    "tenant_id = 't_' || (SELECT auth.uid())",
    "EXISTS (SELECT 1 FROM shop.grp g WHERE {S} = ANY (g.codes) AND g.leader = orders.tenant_id)",
    "EXISTS (SELECT 1 FROM shop.mem m JOIN shop.grp g ON g.leader = m.code WHERE {U} AND g.leader = orders.tenant_id)",
    "EXISTS (SELECT 1 FROM shop.mem m WHERE m.code = orders.tenant_id AND {U} AND m.country = current_setting('app.region', true))",
    "tenant_id = auth.jwt() -> 'app_metadata' ->> 'role_org'",
    // The application's own users, by the provider's name for them.
    "tenant_id IN (SELECT m.code FROM shop.mem m WHERE m.uid IN (SELECT u.id FROM shop.users u WHERE u.email = current_setting('app.email', true)))",
    "tenant_id IN (SELECT m.code FROM shop.mem m WHERE m.uid = (SELECT u.id FROM shop.users u WHERE u.email = current_setting('app.email', true)))",
    "EXISTS (SELECT FROM shop.mem m WHERE m.code = orders.tenant_id AND m.uid = (SELECT u.id FROM shop.users u WHERE u.email = (auth.jwt() ->> 'email')))",
    "tenant_id = ANY (ARRAY(SELECT m.code FROM shop.mem m WHERE m.uid = ANY (ARRAY(SELECT u.id FROM shop.users u WHERE u.email = current_setting('app.email', true)))))",
];

/// The same with SQL before the policy.
const QUIET_AROUND: &[(&str, &str)] = &[
    (
        "ALTER TABLE shop.orders ADD CHECK (tenant_id ~ '^[a-z0-9][a-z0-9_-]{0,62}$');",
        "tenant_id = lower({S})",
    ),
    (
        "CREATE TABLE shop.par (code text, plan text, PRIMARY KEY (code)) PARTITION BY LIST (code);
         CREATE TABLE shop.chi PARTITION OF shop.par DEFAULT; GRANT SELECT ON shop.par TO shop_app;",
        "EXISTS (SELECT 1 FROM shop.par p JOIN shop.mem m ON m.code = p.code WHERE {U} AND p.plan = orders.tenant_id)",
    ),
];

fn views(filtering: bool) -> Vec<String> {
    let texts: &[&str] = if filtering {
        &[
            "SELECT o.id, (SELECT max(i.id) FROM shop.items i WHERE i.tenant_id = o.tenant_id
                 AND EXISTS (SELECT 1 FROM shop.items j WHERE j.tenant_id = i.tenant_id AND j.id = i.id)) AS t
             FROM shop.orders o WHERE o.tenant_id = {S}",
            "SELECT o.id, i.id AS t FROM shop.orders o JOIN shop.items i USING (tenant_id) LEFT JOIN shop.items n USING (tenant_id)
             WHERE o.tenant_id = {S}",
            "SELECT o.id FROM shop.orders o LEFT JOIN (shop.items i JOIN shop.items n ON n.tenant_id = i.tenant_id)
                 ON i.tenant_id = o.tenant_id WHERE o.tenant_id = {S}",
        ]
    } else {
        &[
            "SELECT o.id, v.tenant_id AS t FROM shop.orders o JOIN shop.items i USING (tenant_id, id)
                 JOIN shop.items v ON v.order_id = o.id WHERE o.tenant_id = {S}",
            "SELECT o.id, i.tenant_id AS t FROM shop.orders o JOIN shop.items i ON i.order_id = o.id
                 LEFT JOIN shop.items n ON n.id = i.id AND n.tenant_id = i.tenant_id AND n.tenant_id = o.tenant_id
             WHERE o.tenant_id = {S}",
            "SELECT o.id, o.tenant_id AS t FROM shop.orders o WHERE o.tenant_id = ANY (ARRAY[{S}] || ARRAY['globex'::text])",
            "SELECT o.id, (SELECT string_agg(DISTINCT i.tenant_id, ',') FROM shop.items i
                 LEFT JOIN shop.countries c ON c.code = 'x' AND i.tenant_id = o.tenant_id) AS t
             FROM shop.orders o WHERE o.tenant_id = {S}",
        ]
    };
    let made = |text: &&str| {
        let text = text.replace("{S}", S);
        format!("CREATE VIEW shop.v WITH (security_barrier) AS {text}; GRANT SELECT ON shop.v TO shop_app")
    };
    texts.iter().map(made).collect()
}

fn definers() -> Vec<String> {
    let made = |(arguments, gives, body): &(&str, &str, &str)| {
        format!(
            "CREATE FUNCTION shop.dump({arguments}) RETURNS {gives} STABLE SECURITY DEFINER SET search_path = shop, pg_temp
                 LANGUAGE sql AS $f$ {body} $f$;
             REVOKE EXECUTE ON FUNCTION shop.dump FROM PUBLIC; GRANT EXECUTE ON FUNCTION shop.dump TO shop_app"
        )
    };
    [
        ("t regclass", "xml", "SELECT table_to_xml(t, true, false, '')"),
        ("q text", "xml", "SELECT query_to_xml_and_xmlschema(q, true, false, '')"),
        ("", "xml", "SELECT schema_to_xml('shop', true, false, '')"),
        ("", "xml", "SELECT database_to_xml(true, false, '')"),
        ("q text", "text", "SELECT string_agg(word, ',') FROM ts_stat(q)"),
    ]
    .iter()
    .map(made)
    .collect()
}

fn with_tables(using: &str) -> String {
    format!("{HELPERS} {TABLES} {}", policy(&using.replace("{U}", USER)))
}

/// A policy with a WITH CHECK that nobody understands, and restrictive ones beside it.
fn checked(restrictive: &str) -> String {
    let using = format!("USING (tenant_id = {S})");
    format!(
        "{HELPERS} {TABLES} ALTER POLICY own ON shop.orders WITH CHECK (shop.may(tenant_id)); {}",
        restrictive.replace("{T}", &using)
    )
}

#[test]
fn what_leaves_something_out_is_found_by_the_catalogue_alone() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_subtle").await;
        let mut all: Vec<(String, &str)> =
            LEAKS.iter().map(|(using, rule)| (with_tables(using), *rule)).collect();
        all.extend(AROUND.iter().map(|(before, using, rule)| {
            (format!("{} {}", before.replace("{S}", S), with_tables(using)), *rule)
        }));
        all.extend(views(false).into_iter().map(|sql| (sql, "view-bypasses-rls")));
        all.extend(definers().into_iter().map(|sql| (sql, "definer-function-bypasses-rls")));
        for restrictive in [
            "CREATE POLICY r ON shop.orders AS RESTRICTIVE TO shop_app {T} WITH CHECK (true)",
            "CREATE POLICY r ON shop.orders AS RESTRICTIVE FOR SELECT TO shop_app {T};
             CREATE POLICY w ON shop.orders AS RESTRICTIVE FOR UPDATE TO shop_app {T} WITH CHECK (true);
             CREATE POLICY d ON shop.orders AS RESTRICTIVE FOR DELETE TO shop_app {T}",
        ] {
            all.push((checked(restrictive), "policy-not-understood"));
        }
        let check = "WITH CHECK (tenant_id = ANY (ARRAY[{S}] || ARRAY['globex'::text]))".replace("{S}", S);
        all.push((format!("ALTER POLICY own ON shop.orders {check}"), "check-without-tenant-test"));
        let mut problems = Vec::new();
        for (sql, rule) in all {
            let report = base.check(&sql, &by_catalogue()).await;
            if !grave(&report).contains(rule) {
                problems.push(format!("{rule} is not among {:?}: {sql}", grave(&report)));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

#[test]
fn what_tests_the_tenant_in_other_words_is_quiet() {
    let mut all: Vec<String> = QUIET.iter().map(|using| with_tables(using)).collect();
    all.extend(views(true));
    all.extend(QUIET_AROUND.iter().map(|(before, using)| format!("{before} {}", with_tables(using))));
    for lower in ["tenant_id = lower({S})", "tenant_id = shop.keep({S})"] {
        let one_case = "ALTER TABLE shop.orders ADD CHECK (tenant_id = lower(tenant_id));";
        all.push(format!("{one_case} {}", with_tables(lower)));
    }
    all.push(checked("CREATE POLICY r ON shop.orders AS RESTRICTIVE TO shop_app {T}"));
    nothing_is_told("pw_check_words", &all);
}

/// Functions that call one another are each read once.
#[test]
fn many_functions_that_call_one_another_take_no_time() {
    const MANY: &str = "SET LOCAL check_function_bodies = off; DO $$ BEGIN FOR n IN 0..799 LOOP EXECUTE format('
        CREATE FUNCTION shop.f%s() RETURNS int STABLE SECURITY DEFINER SET search_path = shop, pg_temp LANGUAGE sql
            AS ''SELECT shop.f%s() + shop.f%s() + shop.f%s()''', n, (n + 1) % 800, (n * 7) % 800, (n * 31 + 5) % 800);
        END LOOP; END $$";
    runtime().block_on(async {
        let mut base = Base::new("pw_check_calls").await;
        let begin = std::time::Instant::now();
        base.check(MANY, &by_catalogue()).await;
        // One function at a time it is minutes.
        assert!(begin.elapsed().as_secs() < 60, "{:?}", begin.elapsed());
        base.drop().await;
    });
}

/// What `partywall rls` prints runs where a foreign key is MATCH FULL, and where one needs a unique index.
#[test]
fn the_printed_migration_runs_beside_foreign_keys_of_every_kind() {
    use crate::migration::of_live;
    runtime().block_on(async {
        let mut base = Base::new("pw_check_match").await;
        for (table, after, ask, is) in [
            (
                "CREATE TABLE shop.p (id bigint UNIQUE, tenant_id text NOT NULL, PRIMARY KEY (tenant_id, id));
                 CREATE TABLE shop.wild (tenant_id text NOT NULL, id bigint, pid bigint,
                     CONSTRAINT fk FOREIGN KEY (pid) REFERENCES shop.p (id) MATCH FULL ON DELETE SET NULL);
                 INSERT INTO shop.p VALUES (1, 'acme'); INSERT INTO shop.wild VALUES ('acme', 1, 1), ('acme', 2, NULL)",
                "DELETE FROM shop.p",
                "SELECT string_agg(id || ':' || coalesce(pid, 0), ' ' ORDER BY id) FROM shop.wild",
                "1:0 2:0",
            ),
            (
                "CREATE TABLE shop.wild (tenant_id text NOT NULL, id bigint); CREATE UNIQUE INDEX wild_id ON shop.wild (id);
                 CREATE TABLE shop.child (wid bigint REFERENCES shop.wild (id))",
                "SELECT 1",
                "SELECT string_agg(polname::text, ',') FROM pg_policy WHERE polrelid = 'shop.wild'::regclass",
                "of_tenant",
            ),
        ] {
            let undone = base.client.transaction().await.expect("begins");
            undone.batch_execute(SAFE).await.expect("made");
            undone.batch_execute(table).await.expect("made");
            let text = of_live(&undone, &wild()).await.expect("a migration");
            let run = text.replace("BEGIN;\n", "").replace("COMMIT;\n", "");
            undone.batch_execute(&run).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
            undone.batch_execute(after).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
            let answer: String = undone.query_one(ask, &[]).await.expect("answers").get(0);
            assert_eq!(answer, is, "{text}");
            undone.rollback().await.expect("undone");
        }
        base.drop().await;
    });
}
