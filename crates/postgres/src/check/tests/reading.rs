//! Policies, views and functions that leak and look as if they tested the tenant, by the catalogue alone: the gateway's
//! start has nothing else to go by.

use super::*;

/// The setting as policies read it.
const S: &str = "nullif(current_setting('app.tenant', true), '')";

pub(super) fn by_catalogue() -> Options {
    Options { behaviour: false, ..Options::for_role("shop_app") }
}

/// What keeps the gateway from starting.
pub(super) fn grave(report: &Report) -> BTreeSet<&str> {
    let grave = |found: &&Found| found.finding.severity >= Severity::High || found.in_doubt;
    report.found.iter().filter(grave).map(|found| found.finding.rule.as_str()).collect()
}

pub(super) fn policy(using: &str) -> String {
    format!(
        "DROP POLICY own ON shop.orders; CREATE POLICY own ON shop.orders TO shop_app USING ({});",
        using.replace("{S}", S)
    )
}

/// A table with everything right, but for what is said.
fn table(name: &str, kind: &str, columns: &str, using: &str) -> String {
    format!(
        "CREATE TABLE shop.{name} (tenant_id {kind} NOT NULL, id bigint NOT NULL {columns}, PRIMARY KEY (tenant_id, id));
         ALTER TABLE shop.{name} OWNER TO shop_owner; ALTER TABLE shop.{name} ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.{name} FORCE ROW LEVEL SECURITY; CREATE POLICY own ON shop.{name} TO shop_app USING ({});
         GRANT SELECT, INSERT, UPDATE, DELETE ON shop.{name} TO shop_app;",
        using.replace("{S}", S)
    )
}

const MEMBERS: &str =
    "CREATE TABLE shop.tm (tenant_id text NOT NULL, uid text, PRIMARY KEY (tenant_id, uid));
    CREATE TABLE shop.teams (tenant_id text PRIMARY KEY);";

/// What the policy of a table tests, and the rule that must keep the gateway from starting.
const POLICIES: &[(&str, &str)] = &[
    ("tenant_id IN ({S}, 'globex')", "fail-open-policy"),
    ("(tenant_id = {S}) = false", "policy-without-tenant-test"),
    ("tenant_id = greatest({S}, tenant_id)", "policy-not-understood"),
    ("tenant_id || ':x' = ANY (ARRAY[{S} || ':x', tenant_id || ':x'])", "policy-not-understood"),
    ("substr(tenant_id, 1, 0) = substr({S}, 1, 0)", "policy-not-understood"),
    ("left(tenant_id, 2) = left({S}, 2)", "policy-not-understood"),
    ("split_part(tenant_id, '-', 1) = split_part({S}, '-', 1)", "policy-not-understood"),
    ("length(tenant_id) = length({S})", "policy-not-understood"),
    ("position({S} in tenant_id) > 0", "policy-not-understood"),
    ("(strpos({S}, tenant_id) > 0) = true", "policy-not-understood"),
    ("tenant_id COLLATE shop.ci = {S}", "fuzzy-tenant-equality"),
    ("lower(tenant_id) = lower({S})", "fuzzy-tenant-equality"),
    ("tenant_id::varchar(2) = {S}::varchar(2)", "policy-not-understood"),
    ("tenant_id = shop.falls()", "fail-open-policy"),
    ("tenant_id = shop.falls_back(tenant_id)", "policy-not-understood"),
    ("tenant_id = shop.norm(tenant_id)", "policy-not-understood"),
    ("tenant_id = ANY (string_to_array({S}, ','))", "policy-not-understood"),
    (
        "tenant_id = (current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata' ->> 'org')",
        "fail-open-policy",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.tm JOIN shop.teams USING (tenant_id) WHERE uid = current_setting('app.user', true))",
        "policy-without-tenant-test",
    ),
    (
        "EXISTS (SELECT 1 FROM shop.tm m WHERE m.uid = current_user AND m.tenant_id = {S})",
        "policy-without-tenant-test",
    ),
    (
        "tenant_id IN (SELECT t.tenant_id FROM shop.teams t, shop.tm m WHERE m.uid = current_user)",
        "policy-not-understood",
    ),
];

/// SQL after the safe schema, and the rule.
fn leaks() -> Vec<(String, &'static str)> {
    let mut all: Vec<(String, &str)> = POLICIES
        .iter()
        .map(|(using, rule)| (format!("{MEMBERS} {FUNCTIONS} {}", policy(using)), *rule))
        .collect();
    all.extend(views_and_functions());
    all.extend(tables());
    all
}

fn views_and_functions() -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    for view in [
        "SELECT o.id, i.id AS item, i.tenant_id FROM shop.orders o, shop.items i WHERE o.tenant_id = {S}",
        "SELECT id, (SELECT string_agg(i.tenant_id || i.id, ',') FROM shop.items i) AS al FROM shop.orders WHERE tenant_id = {S}",
        "SELECT i.* FROM shop.items i LEFT JOIN (SELECT id FROM shop.orders o WHERE o.tenant_id = {S}) x ON true",
    ] {
        let view = view.replace("{S}", S);
        let sql = format!(
            "CREATE VIEW shop.v WITH (security_barrier) AS {view}; GRANT SELECT ON shop.v TO shop_app"
        );
        all.push((sql, "view-bypasses-rls"));
    }
    for owners in [
        "(tenant_id = {S} OR status = 'open')",
        "current_setting('app.job', true) IS NULL",
        "current_user = 'shop_owner'",
    ] {
        let policy =
            format!("CREATE POLICY ow ON shop.orders TO shop_owner USING ({});", owners.replace("{S}", S));
        let view = "CREATE VIEW shop.v AS SELECT * FROM shop.orders; ALTER VIEW shop.v OWNER TO shop_owner; GRANT SELECT ON shop.v TO shop_app;";
        all.push((format!("{policy} {view}"), "view-bypasses-rls"));
        let function = definer("f()", "sql", "SELECT count(*) FROM shop.orders")
            + "ALTER FUNCTION shop.f() OWNER TO shop_owner;";
        all.push((format!("{policy} {function}"), "definer-function-bypasses-rls"));
    }
    for (before, name, language, body) in [
        (
            "CREATE VIEW shop.allo WITH (security_invoker = true) AS SELECT * FROM shop.orders;",
            "f()",
            "sql",
            "SELECT count(*) FROM shop.allo",
        ),
        (
            "CREATE FUNCTION shop.g() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM shop.orders';",
            "f()",
            "sql",
            "SELECT shop.g()",
        ),
        (
            "",
            "f(t text)",
            "plpgsql",
            "DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM shop.%I', t) INTO n; RETURN n; END",
        ),
    ] {
        all.push((format!("{before} {}", definer(name, language, body)), "definer-function-bypasses-rls"));
    }
    all
}

fn tables() -> Vec<(String, &'static str)> {
    let mut all = Vec::new();
    let varchar = "CREATE TABLE shop.m (tenant_id varchar(40) NOT NULL, uid text); ";
    let own = table(
        "docs",
        "varchar(40)",
        "",
        "EXISTS (SELECT 1 FROM shop.m WHERE uid = current_setting('app.user', true) AND tenant_id = tenant_id)",
    );
    all.push((format!("{varchar}{own}"), "self-comparison-in-policy"));
    let citext = table("ci", "citext", "", "tenant_id = {S}::citext");
    all.push((format!("CREATE EXTENSION citext SCHEMA public; {citext}"), "fuzzy-tenant-equality"));
    let domain = table("ci", "shop.tid", "", "tenant_id = {S}::citext");
    all.push((
        format!("CREATE EXTENSION citext SCHEMA public; CREATE DOMAIN shop.tid AS public.citext; {domain}"),
        "fuzzy-tenant-equality",
    ));
    all.push((
        "ALTER ROLE shop_app NOINHERIT; CREATE ROLE shop_web NOLOGIN; GRANT shop_web TO shop_app;
         CREATE TABLE shop.todos (tenant_id text NOT NULL, id int); GRANT USAGE ON SCHEMA shop TO shop_web;
         GRANT ALL ON shop.todos TO shop_web"
            .to_owned(),
        "tenant-table-without-rls",
    ));
    let given = table("z", "text", "", "true").replace(
        "CREATE POLICY own ON shop.z TO shop_app",
        "CREATE POLICY op ON shop.z FOR UPDATE TO shop_app",
    );
    all.push((
        format!(
            "{given} CREATE POLICY r ON shop.z FOR SELECT TO shop_app USING (tenant_id = {S});
             CREATE POLICY upd ON shop.z AS RESTRICTIVE FOR UPDATE TO shop_app USING (tenant_id = {S}) WITH CHECK (true)"
        ),
        "write-policy-wider-than-read",
    ));
    all.push((
        "CREATE FUNCTION shop.g() RETURNS text STABLE LANGUAGE sql AS $$ SELECT nullif(current_setting('app.tenant', true), '') $$;
         CREATE FUNCTION shop.cur() RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RETURN shop.g(); END $$;"
            .to_owned()
            + &policy("tenant_id = shop.cur()"),
        "immutable-policy-function",
    ));
    all
}

const FUNCTIONS: &str = "
    CREATE FUNCTION shop.falls() RETURNS text STABLE LANGUAGE sql AS $$ SELECT coalesce(nullif(current_setting('app.tenant', true), ''), 'acme') $$;
    CREATE FUNCTION shop.falls_back(t text) RETURNS text STABLE LANGUAGE sql AS $$ SELECT coalesce(nullif(current_setting('app.tenant', true), ''), t) $$;
    CREATE FUNCTION shop.norm(text) RETURNS text STABLE LANGUAGE sql AS $$ SELECT trim($1) $$;
    CREATE COLLATION shop.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);";

fn definer(name: &str, language: &str, body: &str) -> String {
    format!(
        "CREATE FUNCTION shop.{name} RETURNS bigint STABLE SECURITY DEFINER SET search_path = shop, pg_temp LANGUAGE {language} AS $f$ {body} $f$;
         REVOKE EXECUTE ON FUNCTION shop.{name} FROM PUBLIC; GRANT EXECUTE ON FUNCTION shop.{name} TO shop_app;"
    )
}

#[test]
fn what_leaks_is_found_by_the_catalogue_alone() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_leaks").await;
        let mut problems = Vec::new();
        for (sql, rule) in leaks() {
            let report = base.check(&sql, &by_catalogue()).await;
            if !grave(&report).contains(rule) {
                problems.push(format!("{rule} is not among {:?}: {sql}", grave(&report)));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

/// What is safe, with statements tried too.
fn quiet() -> Vec<String> {
    let mut all: Vec<String> = [
        "{S} = tenant_id",
        "tenant_id = (SELECT {S})",
        "tenant_id::text = {S}::text",
        "(tenant_id, 1) = ({S}, 1)",
        "tenant_id = (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'tenant')",
        "tenant_id = coalesce(nullif(current_setting('request.jwt.claim.tenant', true), ''), nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'tenant')",
        "tenant_id = coalesce(nullif(current_setting('app.tenant', true), ''), nullif(current_setting('app.org', true), ''))",
        "tenant_id = auth.uid()::text",
        "tenant_id = (SELECT auth.uid()::text)",
        "tenant_id = (SELECT auth.jwt() ->> 'org')",
        "tenant_id = (SELECT auth.jwt() -> 'app_metadata' ->> 'org')",
        "coalesce(tenant_id = {S}, false)",
        "(tenant_id = {S}) IS TRUE",
        "CASE WHEN current_setting('app.tenant', true) = '' THEN false ELSE tenant_id = {S} END",
        "md5(tenant_id) = md5({S})",
        "tenant_id = {S} AND tenant_id = lower(tenant_id)",
        "tenant_id = shop.cur()",
        "EXISTS (SELECT 1 FROM shop.items m WHERE m.tenant_id = orders.tenant_id AND m.tenant_id = {S})",
        "tenant_id IN (SELECT m.tenant_id FROM shop.items m WHERE m.tenant_id = {S})",
        "tenant_id IN (SELECT m.tenant_id FROM shop.items m JOIN shop.countries c ON c.code = m.tenant_id WHERE c.name = current_setting('app.user', true))",
    ]
    .into_iter()
    .map(|using| format!("{HELPERS} {}", policy(using)))
    .collect();
    all.extend([
        "CREATE POLICY nodel ON shop.items FOR DELETE TO shop_app USING (false)".to_owned(),
        "CREATE POLICY noins ON shop.items FOR INSERT TO shop_app WITH CHECK (false)".to_owned(),
        "CREATE POLICY none ON shop.items TO shop_app USING (false)".to_owned(),
        table("uu", "uuid", "", "tenant_id = {S}::uuid")
            + "ALTER TABLE shop.uu ALTER tenant_id SET DEFAULT current_setting('app.tenant', true)::uuid",
        table("uu", "smallint", "", "tenant_id = {S}::smallint"),
        table("uu", "uuid", "", "tenant_id = ANY (nullif(current_setting('app.tenants', true), '')::uuid[])"),
        "CREATE TABLE shop.inv (company_id text NOT NULL CHECK (company_id <> ''), id bigint NOT NULL, account_id bigint, PRIMARY KEY (company_id, id));
         ALTER TABLE shop.inv ENABLE ROW LEVEL SECURITY; ALTER TABLE shop.inv FORCE ROW LEVEL SECURITY;
         CREATE POLICY own ON shop.inv TO shop_app USING (company_id = nullif(current_setting('app.tenant', true), ''));
         GRANT SELECT, INSERT, UPDATE, DELETE ON shop.inv TO shop_app"
            .to_owned(),
        // The owner's policies hold it.
        format!(
            "CREATE POLICY ow ON shop.orders TO shop_owner USING (tenant_id = {S} AND status = 'open');
             CREATE VIEW shop.v AS SELECT * FROM shop.orders; ALTER VIEW shop.v OWNER TO shop_owner; GRANT SELECT ON shop.v TO shop_app"
        ),
        format!(
            "CREATE VIEW shop.v WITH (security_barrier) AS SELECT o.id, i.id AS item FROM shop.orders o JOIN shop.items i
                 ON i.tenant_id = o.tenant_id AND i.order_id = o.id WHERE o.tenant_id = {S}; GRANT SELECT ON shop.v TO shop_app"
        ),
        "CREATE VIEW shop.allo WITH (security_invoker = true) AS SELECT * FROM shop.orders;".to_owned()
            + &definer("f()", "sql", "SELECT count(*) FROM shop.allo")
            + "ALTER FUNCTION shop.f() OWNER TO shop_owner",
        definer("f()", "plpgsql", "DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM shop.orders' INTO n; RETURN n; END")
            + "ALTER FUNCTION shop.f() OWNER TO shop_owner",
        "ALTER ROLE shop_app NOINHERIT; CREATE ROLE shop_web NOLOGIN; GRANT shop_web TO shop_app;
         GRANT USAGE ON SCHEMA shop TO shop_web; GRANT SELECT ON shop.countries TO shop_web"
            .to_owned(),
        table("z", "text CHECK (tenant_id <> '')", "", "true").replace("CREATE POLICY own ON shop.z TO shop_app", "CREATE POLICY op ON shop.z FOR UPDATE TO shop_app")
            + &format!(
                "CREATE POLICY own ON shop.z TO shop_app USING (tenant_id = {S});
                 CREATE POLICY upd ON shop.z AS RESTRICTIVE FOR UPDATE TO shop_app USING (tenant_id = {S}) WITH CHECK (tenant_id = {S})"
            ),
    ]);
    all
}

/// Supabase's own functions, word for word, and some of one's own.
pub(super) const HELPERS: &str = "
    CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO shop_app;
    CREATE FUNCTION auth.uid() RETURNS uuid STABLE LANGUAGE sql AS $$
      select
      coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
      )::uuid
    $$;
    CREATE FUNCTION auth.jwt() RETURNS jsonb STABLE LANGUAGE sql AS $$
      select
        coalesce(
            nullif(current_setting('request.jwt.claim', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')
        )::jsonb
    $$;
    CREATE FUNCTION shop.cur() RETURNS text STABLE LANGUAGE plpgsql AS $$
    BEGIN
      RETURN nullif(current_setting('app.tenant', true), '');
    END $$;
    CREATE FUNCTION shop.keep(t text) RETURNS text STABLE LANGUAGE sql AS $$ SELECT lower(t) $$;";

#[test]
fn what_is_safe_is_quiet() {
    nothing_is_told("pw_check_reads", &quiet());
}

/// Tries statements in each of these schemas, in a database of this name, and finds nothing.
pub(super) fn nothing_is_told(name: &'static str, schemas: &[String]) {
    runtime().block_on(async {
        let mut base = Base::new(name).await;
        let options = Options::for_role("shop_app");
        let mut problems = Vec::new();
        for sql in schemas {
            let report = base.check(sql, &options).await;
            let told: Vec<_> = report.found.iter().map(|found| &found.finding.message).collect();
            if !told.is_empty() {
                problems.push(format!("{told:?}: {sql}"));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}
