//! What texts are read as.

mod sources;

use super::*;

/// Functions that policies call, as their owners wrote them: schema, name, arguments, language and body.
const FUNCTIONS: &[(&str, &str, &str, &str, &str)] = &[
    ("app", "tenant", "", "sql", "SELECT nullif(current_setting('app.tenant', true), '');"),
    (
        "app",
        "returned",
        "",
        "plpgsql",
        "\nBEGIN\n  -- whose\n  RETURN nullif(current_setting('app.tenant', true), '');\nEND;\n",
    ),
    ("app", "nested", "", "plpgsql", "BEGIN RETURN tenant(); END"),
    (
        "app",
        "atomic",
        "",
        "sql",
        "BEGIN ATOMIC\n SELECT NULLIF(current_setting('app.tenant'::text, true), ''::text) AS x;\nEND",
    ),
    ("app", "falls", "", "sql", "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), 'acme')"),
    (
        "app",
        "falls_by_argument",
        "t",
        "sql",
        "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), t)",
    ),
    ("app", "norm", "", "sql", "SELECT trim($1)"),
    ("app", "norm_by_name", "t", "plpgsql", "BEGIN RETURN lower(t); END"),
    ("app", "fixed", "", "sql", "SELECT 'acme'"),
    (
        "app",
        "steps",
        "",
        "plpgsql",
        "BEGIN IF now() > '2020-01-01' THEN RETURN 'x'; END IF; RETURN current_setting('app.tenant'); END",
    ),
    ("app", "claim", "", "sql", "SELECT auth.jwt() -> $1 ->> $2"),
    ("app", "forever", "", "sql", "SELECT forever()"),
    ("app", "mine", "", "sql", "SELECT org_id FROM memberships WHERE user_id = auth.uid()"),
    ("app", "any_of", "org_id", "sql", "SELECT m.org_id FROM memberships m"),
    ("app", "any_by_name", "org_id", "sql", "SELECT org_id FROM memberships"),
    ("app", "everybodys", "", "sql", "SELECT org_id FROM memberships"),
    (
        "auth",
        "uid",
        "",
        "sql",
        "\n  select \n  coalesce(\n    nullif(current_setting('request.jwt.claim.sub', true), ''),\n    \
             (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')\n  )::uuid\n",
    ),
    (
        "auth",
        "jwt",
        "",
        "sql",
        "select coalesce(nullif(current_setting('request.jwt.claim', true), ''), \
             nullif(current_setting('request.jwt.claims', true), ''))::jsonb",
    ),
    ("auth", "role", "", "sql", "select nullif(current_setting('request.jwt.claim.role', true), '')::text"),
];

/// Tables by name, with the columns that tell their rows apart.
const KEYS: &[(&str, &str)] =
    &[("users", "id"), ("t", "team"), ("teams", "id"), ("countries", "code"), ("accounts", "code")];

/// A server with one role for each tenant.
fn known() -> Known {
    let mut known = Known { users_differ: true, ..Known::default() };
    for (table, key) in KEYS {
        let unique = [[(*key).to_owned()].into()].into();
        known.add_table(table, Keys { unique, tenant: None });
    }
    for table in ["orders", "items"] {
        let unique = [["tenant_id".to_owned(), "id".to_owned()].into()].into();
        known.add_table(table, Keys { unique, tenant: Some("tenant_id".to_owned()) });
    }
    let bodies = &mut known.functions;
    for (schema, name, arguments, language, source) in FUNCTIONS {
        bodies.entry((*name).to_owned()).or_default().push(Body {
            schema: (*schema).to_owned(),
            language: (*language).to_owned(),
            arguments: arguments.split(' ').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
            source: (*source).to_owned(),
        });
    }
    known
}

fn tests(text: &str) -> Tests {
    reading(&known()).tests(text)
}

fn reading(known: &Known) -> Reading<'_> {
    Reading {
        table: "orders",
        column: "tenant_id",
        setting: "app.tenant",
        base: "text",
        one_case: false,
        known,
        asked: Asked::default(),
    }
}

/// The setting as the server writes it.
const S: &str = "NULLIF(current_setting('app.tenant'::text, true), ''::text)";

fn all_are(wanted: Tests, texts: &[&str]) {
    for text in texts {
        let text = text.replace("{S}", S);
        assert_eq!(tests(&text), wanted, "{text}");
    }
}

#[test]
fn a_comparison_of_the_bare_column_with_the_session_is_a_test() {
    all_are(
        Tests::Tenant,
        &[
            "({S} = tenant_id)",
            "((tenant_id)::text = {S})",
            "((tenant_id)::text = ({S})::text)",
            "((tenant_id)::uuid = ({S})::uuid)",
            "(tenant_id = ( SELECT {S} AS \"nullif\"))",
            "((tenant_id = {S}) AND (1 = 1))",
            "((tenant_id)::text = ((current_setting('request.jwt.claims'::text, true))::json ->> 'tenant_id'::text))",
            "(tenant_id = (((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'org'::text))::uuid)",
            "(tenant_id = COALESCE(NULLIF(current_setting('a.a'::text, true), ''::text), NULLIF(current_setting('a.b'::text, true), ''::text)))",
            "(tenant_id = (COALESCE(current_setting('a.a'::text, true), '{}'::text))::jsonb ->> 'org'::text)",
            "(tenant_id = ('t_'::text || {S}))",
            "(tenant_id COLLATE \"C\" = {S})",
            "(tenant_id = ANY ((current_setting('app.tenants'::text, true))::uuid[]))",
            "(tenant_id = ANY (ARRAY[{S}, current_setting('app.parent'::text, true)]))",
            "({S} = ANY (tenant_id))",
            "((tenant_id = {S}) IS TRUE)",
            "((tenant_id = {S}) = true)",
            "COALESCE((tenant_id = {S}), false)",
            "CASE WHEN (current_setting('app.tenant'::text, true) = ''::text) THEN false ELSE (tenant_id = {S}) END",
            "((tenant_id = {S}) AND app.may_see(id))",
            "CASE WHEN (tenant_id = {S}) THEN true ELSE false END",
            "CASE tenant_id WHEN {S} THEN true ELSE false END",
            "CASE WHEN app.is_archived(id) THEN false WHEN (tenant_id = {S}) THEN (status = 'open'::text) ELSE NULL::boolean END",
            "(tenant_id = TRIM(BOTH FROM {S}))",
            "(NOT (tenant_id <> {S}))",
            "(tenant_id = jsonb_extract_path_text(auth.jwt(), 'app_metadata'::text, 'org'::text))",
            "(tenant_id = app.claim('app_metadata'::text, 'org'::text))",
            "(tenant_id = concat(current_setting('app.region'::text, true), {S}))",
        ],
    );
    all_are(Tests::Never, &["false", "(NULL::boolean)", "((tenant_id = {S}) AND false)", "(false OR false)"]);
    all_are(Tests::Tenant, &["(false OR (tenant_id = {S}))", "(tenant_id = (CURRENT_USER)::text)"]);
}

#[test]
fn what_is_not_the_whole_value_or_not_only_the_session_is_none() {
    all_are(
        Tests::Unknown,
        &[
            "(substr(tenant_id, 1, 0) = substr({S}, 1, 0))",
            "(\"left\"(tenant_id, 2) = \"left\"({S}, 2))",
            "(length(tenant_id) = length({S}))",
            "(split_part(tenant_id, '-'::text, 1) = split_part({S}, '-'::text, 1))",
            "(lower(tenant_id) = lower({S}))",
            "((tenant_id COLLATE public.ci) = {S})",
            "(tenant_id = ({S} COLLATE public.ci))",
            "((tenant_id)::citext = ({S})::citext)",
            "((tenant_id)::character varying(2) = ({S})::character varying(2))",
            "(POSITION(({S}) IN (tenant_id)) > 0)",
            "((strpos({S}, tenant_id) > 0) = true)",
            "(tenant_id = GREATEST({S}, tenant_id))",
            "(tenant_id ~~ ({S} || '%'::text))",
            "((tenant_id || ':x'::text) = ANY (ARRAY[({S} || ':x'::text), (tenant_id || ':x'::text)]))",
            "(tenant_id = ANY (string_to_array({S}, ','::text)))",
            "(tenant_id <> {S})",
            "(tenant_id >= {S})",
            "app.may_see(tenant_id)",
            // The session's side may leave something out too.
            "(tenant_id = ({S})::character varying(4))",
            "(tenant_id = (({S})::character(4))::text)",
            "(tenant_id = (({S})::boolean)::text)",
            "(tenant_id = ltrim({S}, 'ac'::text))",
            "(tenant_id = TRIM(BOTH 'ac'::text FROM {S}))",
            "(tenant_id = lower({S}))",
            "((tenant_id)::integer = ({S})::integer)",
            "(tenant_id = concat('acme'::text, current_setting('app.suffix'::text, true)))",
            "(tenant_id = auth.role())",
            "(tenant_id = (auth.jwt() ->> 'role'::text))",
            "(tenant_id = (auth.jwt() ->> lower('ORG'::text)))",
            "CASE WHEN (tenant_id <> {S}) THEN false ELSE true END",
        ],
    );
    all_are(
        Tests::FailsOpen,
        &[
            "(tenant_id = ANY (ARRAY[{S}, 'globex'::text]))",
            "(tenant_id = ANY (ARRAY[{S}, tenant_id]))",
            "((tenant_id = {S}) IS NOT FALSE)",
            "COALESCE((tenant_id = {S}), true)",
            "CASE WHEN (current_setting('app.tenant'::text, true) IS NULL) THEN true ELSE (tenant_id = {S}) END",
            "(tenant_id = ((auth.jwt() -> 'user_metadata'::text) ->> 'tenant_id'::text))",
            "((tenant_id = {S}) OR (auth.uid() IS NOT NULL))",
            // What a caller says of itself.
            "(tenant_id = ((current_setting('request.headers'::text, true))::json ->> 'x-tenant-id'::text))",
            "(tenant_id = current_setting('Request.Cookies'::text, true))",
            "(tenant_id = current_setting('application_name'::text))",
            "(tenant_id = app.claim('user_metadata'::text, 'org'::text))",
            "(tenant_id = jsonb_extract_path_text(auth.jwt(), 'user_metadata'::text, 'org'::text))",
            "CASE WHEN (status = 'public'::text) THEN true ELSE (tenant_id = {S}) END",
            "CASE WHEN (tenant_id = {S}) THEN true ELSE (status = 'public'::text) END",
        ],
    );
    all_are(
        Tests::Nothing,
        &[
            "((tenant_id = {S}) = false)",
            "((tenant_id = {S}) IS NOT TRUE)",
            "(auth.uid() IS NOT NULL)",
            "(( SELECT auth.uid() AS uid) IS NOT NULL)",
            "(auth.role() = 'authenticated'::text)",
            "({S} IS NOT NULL)",
            "(current_setting('app.tenant'::text, true) <> ''::text)",
            "(published_at < now())",
            "((tenant_id = NULL::text) IS NOT FALSE)",
            "((NULL::boolean) IS NOT FALSE)",
            "CASE WHEN (tenant_id = {S}) THEN false ELSE true END",
        ],
    );
}

#[test]
fn long_and_deep_texts_end() {
    let long = vec!["(status = 'open'::text)"; 50_000].join(" AND ");
    assert_eq!(tests(&format!("({long} AND (tenant_id = {S}))")), Tests::Tenant);
    let chain = vec!["'a'::text"; 50_000].join(" || ");
    assert_eq!(tests(&format!("(tenant_id = ({chain}))")), Tests::Unknown);
    let deep = format!("{}tenant_id = {S}{}", "(".repeat(3_000), ")".repeat(3_000));
    assert_eq!(tests(&deep), Tests::Unknown);
}

#[test]
fn functions_beside_the_column_are_read() {
    all_are(
        Tests::Tenant,
        &[
            "(tenant_id = app.tenant())",
            "(tenant_id = app.returned())",
            "(tenant_id = app.nested())",
            "(tenant_id = app.atomic())",
            "(tenant_id = app.norm({S}))",
            "(tenant_id = auth.uid())",
            "(tenant_id = ( SELECT auth.uid() AS uid))",
            "(tenant_id = ((auth.jwt() ->> 'org_id'::text))::uuid)",
            "(tenant_id = ((( SELECT auth.jwt() AS jwt) -> 'app_metadata'::text) ->> 'org_id'::text)::uuid)",
            "(tenant_id IN ( SELECT app.mine() AS mine))",
        ],
    );
    all_are(Tests::FailsOpen, &["(tenant_id = app.falls())"]);
    all_are(Tests::Nothing, &["(tenant_id = app.fixed())"]);
    all_are(
        Tests::Unknown,
        &[
            "(tenant_id = app.falls_by_argument(tenant_id))",
            "(tenant_id = app.norm(tenant_id))",
            "(tenant_id = app.steps())",
            "(tenant_id = app.norm_by_name({S}))",
            "(tenant_id = app.any_of({S}))",
            "(tenant_id IN ( SELECT app.any_by_name({S}) AS x))",
            "(tenant_id = app.forever())",
            "(tenant_id = app.not_there())",
            "(tenant_id = other.tenant())",
            "(tenant_id IN ( SELECT app.everybodys() AS everybodys))",
        ],
    );
}

#[test]
fn a_subquery_is_tied_to_the_session_and_to_the_row() {
    all_are(
        Tests::Tenant,
        &[
            "(EXISTS ( SELECT 1 FROM shop.tm m WHERE ((m.tenant_id = orders.tenant_id) AND (m.uid = CURRENT_USER))))",
            "(EXISTS ( SELECT 1 FROM shop.tm m WHERE (((m.tenant_id)::text = (orders.tenant_id)::text) AND (m.uid = ( SELECT auth.uid() AS uid)) AND ((m.role = 'a'::text) OR (m.role = 'b'::text)))))",
            "(tenant_id IN ( SELECT m.tenant_id FROM (shop.tm m JOIN shop.users u ON ((u.id = m.uid))) WHERE (u.email = CURRENT_USER)))",
            "(tenant_id IN ( SELECT m.tenant_id FROM (shop.tm m JOIN shop.users u ON (((u.id = m.uid) AND (u.email = CURRENT_USER))))))",
            "(tenant_id = ANY ( SELECT m.tenant_id FROM shop.items m WHERE (m.tenant_id = {S})))",
            "(tenant_id IN ( SELECT m.tenant_id FROM m WHERE (m.uid = auth.uid()) UNION SELECT o.tenant_id FROM o WHERE (o.owner = auth.uid())))",
            "(tenant_id = ( SELECT p.tenant_id FROM public.profiles p WHERE (p.id = auth.uid()) LIMIT 1))",
            "(tenant_id IN ( SELECT t.tenant_id FROM t WHERE (t.team IN ( SELECT m.team FROM m WHERE (m.uid = auth.uid())))))",
        ],
    );
    all_are(
        Tests::Unknown,
        &[
            "(EXISTS ( SELECT 1 FROM support s WHERE (s.uid = CURRENT_USER)))",
            "(EXISTS ( SELECT 1 FROM shop.tm m, shop.teams t WHERE ((t.tenant_id = orders.tenant_id) AND (m.uid = CURRENT_USER))))",
            "(EXISTS ( SELECT 1 FROM shop.tm m WHERE ((m.tenant_id = orders.tenant_id) AND (m.uid <> CURRENT_USER))))",
            "(EXISTS ( SELECT 1 FROM c WHERE ((c.code = {S}) AND (orders.tenant_id IS NOT NULL))))",
            "(EXISTS ( SELECT 1 FROM shop.tm m WHERE ((m.order_id = orders.id) AND (m.uid = CURRENT_USER))))",
            "(tenant_id IN ( SELECT t.tenant_id FROM shop.teams t, shop.tm m WHERE (m.uid = CURRENT_USER)))",
            "(tenant_id IN ( SELECT i.tenant_id FROM shop.items i WHERE ((i.order_id)::text <> {S})))",
            "(tenant_id IN ( SELECT i.tenant_id FROM shop.items i WHERE (CURRENT_USER = 'shop_app'::name)))",
            "(tenant_id IN ( SELECT m.tenant_id FROM m WHERE (m.uid = auth.uid()) UNION SELECT o.tenant_id FROM o))",
            "(tenant_id IN ( SELECT m.tenant_id FROM m WHERE (m.uid = ANY (ARRAY[CURRENT_USER, 'all'::text]))))",
        ],
    );
    // The column of another table is named, and the row nowhere.
    all_are(
        Tests::Nothing,
        &[
            "(EXISTS ( SELECT 1 FROM (shop.tm JOIN shop.teams USING (tenant_id)) WHERE (tm.uid = current_setting('app.user'::text, true))))",
            "(EXISTS ( SELECT 1 FROM shop.tm m WHERE ((m.uid = CURRENT_USER) AND (m.tenant_id = {S}))))",
        ],
    );
}

#[test]
fn a_view_filters_if_it_does_so_for_every_table() {
    let known = known();
    let tables = ["orders", "items"].map(|table| Filtered {
        table,
        column: "tenant_id",
        base: "text",
        one_case: false,
    });
    let holds = |text: &str| {
        let text = text.replace("{S}", S);
        Filter { tables: &tables, setting: "app.tenant", known: &known }.holds(&text)
    };
    for text in [
        " SELECT orders.id\n   FROM shop.orders\n  WHERE (orders.tenant_id = {S})\n  ORDER BY orders.id;",
        " SELECT id, EXTRACT(year FROM made) AS y FROM shop.orders WHERE ((tenant_id = {S}) AND (status = 'open'::text));",
        " SELECT o.id FROM (shop.orders o JOIN shop.items i ON (((i.tenant_id = o.tenant_id) AND (i.order_id = o.id)))) WHERE (o.tenant_id = {S});",
        " SELECT o.id FROM (shop.orders o LEFT JOIN shop.items i ON ((i.tenant_id = o.tenant_id))) WHERE (o.tenant_id = {S});",
        " SELECT o.id FROM shop.orders o, shop.items i WHERE ((o.tenant_id = {S}) AND (i.tenant_id = {S}));",
        " SELECT o.id, c.name FROM (shop.orders o JOIN shop.countries c ON ((c.code = o.status))) WHERE (o.tenant_id = {S});",
        " SELECT o.id, ( SELECT count(*) AS n FROM shop.items i WHERE (i.tenant_id = o.tenant_id)) AS n FROM shop.orders o WHERE (o.tenant_id = {S});",
        " SELECT orders.id FROM shop.orders WHERE (orders.tenant_id = {S}) UNION ALL SELECT items.id FROM shop.items WHERE (items.tenant_id = {S});",
        " SELECT o.id FROM (shop.orders o JOIN shop.items i USING (tenant_id, id)) WHERE (o.tenant_id = {S});",
        " SELECT o.id FROM ((shop.orders o JOIN shop.items i USING (tenant_id)) LEFT JOIN shop.items n USING (tenant_id)) WHERE (o.tenant_id = {S});",
        " SELECT o.id FROM (shop.orders o LEFT JOIN shop.items i ON ((i.tenant_id = {S}))) WHERE (o.tenant_id = {S});",
        " SELECT o.id FROM (shop.orders o LEFT JOIN (shop.items i JOIN shop.items n ON ((n.tenant_id = i.tenant_id))) ON ((i.tenant_id = o.tenant_id))) WHERE (o.tenant_id = {S});",
        " SELECT o.id, ( SELECT max(i.id) AS m FROM shop.items i WHERE ((i.tenant_id = o.tenant_id) AND (EXISTS ( SELECT 1 FROM shop.items j WHERE ((j.tenant_id = i.tenant_id) AND (j.id = i.id)))))) AS c FROM shop.orders o WHERE (o.tenant_id = {S});",
    ] {
        assert!(holds(text), "{text}");
    }
    for text in [
        " SELECT o.id, i.id AS item, i.tenant_id FROM shop.orders o, shop.items i WHERE (o.tenant_id = {S});",
        " SELECT orders.id, ( SELECT string_agg(i.tenant_id, ','::text) AS x FROM shop.items i) AS al FROM shop.orders WHERE (orders.tenant_id = {S});",
        " SELECT i.id FROM (shop.items i LEFT JOIN ( SELECT o.id FROM shop.orders o WHERE (o.tenant_id = {S})) x ON (true));",
        " SELECT o.id FROM (shop.orders o LEFT JOIN shop.items i ON ((o.tenant_id = {S})));",
        " SELECT i.id FROM (shop.items i RIGHT JOIN shop.orders o ON ((i.tenant_id = o.tenant_id))) WHERE (i.tenant_id = {S});",
        " SELECT o.id FROM (shop.orders o JOIN shop.items i ON ((i.order_id = o.id))) WHERE (o.tenant_id = {S});",
        " SELECT orders.id FROM shop.orders WHERE (orders.tenant_id = {S}) UNION ALL SELECT items.id FROM shop.items;",
        " WITH x AS ( SELECT items.id FROM shop.items) SELECT orders.id FROM shop.orders WHERE (orders.tenant_id = {S});",
        " SELECT orders.id FROM shop.orders WHERE ((orders.tenant_id = {S}) OR (orders.status = 'public'::text));",
        " SELECT orders.id FROM shop.orders;",
        // A USING ties the two that it joins.
        " SELECT o.id, v.tenant_id FROM ((shop.orders o JOIN shop.items i USING (tenant_id, id)) JOIN shop.items v ON ((v.order_id = o.id))) WHERE (o.tenant_id = {S});",
        // ON of a left join says nothing of its left side.
        " SELECT o.id FROM ((shop.orders o JOIN shop.items i ON ((i.order_id = o.id))) LEFT JOIN shop.items n ON (((n.id = i.id) AND (n.tenant_id = i.tenant_id) AND (n.tenant_id = o.tenant_id)))) WHERE (o.tenant_id = {S});",
        " SELECT o.id, ( SELECT string_agg(i.tenant_id, ','::text) AS x FROM (shop.items i LEFT JOIN shop.countries c ON (((c.code = 'x'::text) AND (i.tenant_id = o.tenant_id))))) AS t FROM shop.orders o WHERE (o.tenant_id = {S});",
        " SELECT o.id FROM (shop.orders o JOIN (shop.items i LEFT JOIN shop.items n ON ((n.tenant_id = {S}))) ON ((n.tenant_id = o.tenant_id))) WHERE (o.tenant_id = {S});",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn what_a_policy_does_beside_its_one_comparison_is_told() {
    let of = |text: &str| only_compares(text, "tenant_id");
    assert_eq!(
        of("(tenant_id = (NULLIF(current_setting('app.org'::text, true), ''::text))::uuid)").as_deref(),
        Some("app.org")
    );
    assert_eq!(of("(tenant_id = current_setting('app.org'::text))").as_deref(), Some("app.org"));
    assert_eq!(of("((tenant_id = current_setting('app.org'::text)) AND (owner = CURRENT_USER))"), None);
    assert_eq!(of("(tenant_id = ((current_setting('claims'::text))::json ->> 'org'::text))"), None);
    let both =
        "((tenant_id = current_setting('app.org'::text)) AND (owner = current_setting('app.user'::text)))";
    assert_eq!(settings_read(both).into_iter().collect::<Vec<_>>(), ["app.org", "app.user"]);
}

#[test]
fn what_an_expression_tests() {
    let setting = "NULLIF(current_setting('app.tenant'::text, true), ''::text)";
    for (text, wanted) in [
        (format!("(tenant_id = {setting})"), Tests::Tenant),
        (format!("((tenant_id = {setting}) AND (status = 'open'::text))"), Tests::Tenant),
        (format!("(({setting})::uuid = tenant_id)"), Tests::Tenant),
        (
            "(tenant_id = ( SELECT NULLIF(current_setting('app.tenant'::text, true), ''::text) AS x))"
                .to_owned(),
            Tests::Tenant,
        ),
        ("(tenant_id = app.tenant())".to_owned(), Tests::Tenant),
        (
            "(tenant_id IN ( SELECT m.tenant_id FROM members m WHERE (m.name = CURRENT_USER)))".to_owned(),
            Tests::Tenant,
        ),
        ("true".to_owned(), Tests::Nothing),
        ("(status = 'open'::text)".to_owned(), Tests::Nothing),
        ("(tenant_id IS NOT NULL)".to_owned(), Tests::Nothing),
        ("(tenant_id = 'a'::text)".to_owned(), Tests::Nothing),
        (format!("((tenant_id = {setting}) OR (status = 'public'::text))"), Tests::FailsOpen),
        (
            format!("((current_setting('app.tenant'::text, true) IS NULL) OR (tenant_id = {setting}))"),
            Tests::FailsOpen,
        ),
        (
            format!(
                "((tenant_id = {setting}) OR (current_setting('app.role'::text, true) = 'support'::text))"
            ),
            Tests::Unknown,
        ),
        (
            "(tenant_id = COALESCE(current_setting('app.tenant'::text, true), tenant_id))".to_owned(),
            Tests::FailsOpen,
        ),
        ("app.may_see(id)".to_owned(), Tests::Unknown),
        (format!("(NOT (tenant_id = {setting}))"), Tests::Nothing),
        (
            "(NOT (tenant_id IN ( SELECT m.tenant_id FROM members m WHERE (m.name = CURRENT_USER))))"
                .to_owned(),
            Tests::Nothing,
        ),
        (format!("((tenant_id = {setting}) IS NOT TRUE)"), Tests::Nothing),
        (format!("(tenant_id <> {setting})"), Tests::Unknown),
        (format!("((tenant_id = {setting}) IS FALSE)"), Tests::Nothing),
        (format!("(NOT (tenant_id IS DISTINCT FROM {setting}))"), Tests::Tenant),
        ("(tenant_id = lower(status))".to_owned(), Tests::Nothing),
        (format!("(tenant_id = lower({setting}))"), Tests::Unknown),
        ("(tenant_id IN ( SELECT t.id FROM shop.tenants t))".to_owned(), Tests::Unknown),
        ("(tenant_id = \"user\")".to_owned(), Tests::Nothing),
        (
            "(EXISTS ( SELECT 1 FROM m WHERE ((m.t = orders.tenant_id) OR (CURRENT_USER = m.name))))"
                .to_owned(),
            Tests::Unknown,
        ),
        (
            "(tenant_id = COALESCE(current_setting('app.tenant'::text, true), ''::text))".to_owned(),
            Tests::Tenant,
        ),
        (
            "(tenant_id = COALESCE(current_setting('app.tenant'::text, true), 'main'::text))".to_owned(),
            Tests::FailsOpen,
        ),
        (format!("((tenant_id = {setting}) OR \"or\")"), Tests::FailsOpen),
        (format!("((tenant_id = {setting}) OR app.is_support())"), Tests::Unknown),
    ] {
        assert_eq!(tests(&text), wanted, "{text}");
    }
}

#[test]
fn the_column_that_is_compared_with_the_setting_is_the_tenants() {
    let setting = "NULLIF(current_setting('app.tenant'::text, true), ''::text)";
    let known = known();
    let compared = |text: &str, column: &str| {
        Reading { table: "notes", column, ..reading(&known) }.compares_with_the_setting(text)
    };
    for text in [
        format!("(company_id = {setting})"),
        format!("((company_id)::text = ( SELECT {setting} AS x))"),
        format!("((company_id = {setting}) AND (owner = CURRENT_USER))"),
        format!("((status = 'public'::text) OR (company_id = {setting}))"),
    ] {
        assert!(compared(&text, "company_id"), "{text}");
        assert!(!compared(&text, "status") && !compared(&text, "owner"), "{text}");
    }
    for text in [
        "(company_id = current_setting('app.user'::text, true))".to_owned(),
        "(company_id = app.tenant())".to_owned(),
        format!("(company_id <> {setting})"),
        format!("(company_id IN ( SELECT c.company_id FROM c WHERE (c.tenant = {setting})))"),
        "true".to_owned(),
    ] {
        assert!(!compared(&text, "company_id"), "{text}");
    }
}

#[test]
fn settings_are_read_with_their_surroundings() {
    let guarded = "(tenant_id = (NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid)";
    assert!(
        !casts_the_empty_text(guarded) && !lets_the_empty_text_through(guarded) && !asks_strictly(guarded)
    );
    let bare = "(tenant_id = (current_setting('app.tenant'::text))::uuid)";
    assert!(casts_the_empty_text(bare) && lets_the_empty_text_through(bare) && asks_strictly(bare));
    assert!(!casts_the_empty_text("(tenant_id = current_setting('app.tenant'::text, true))"));
}

#[test]
fn names_that_a_subquery_took_and_nulls() {
    assert!(compares_with_itself(
        "(EXISTS ( SELECT 1 FROM tm WHERE ((tm.name = CURRENT_USER) AND (tm.tenant_id = tm.tenant_id))))"
    ));
    assert!(compares_with_itself(
        "(EXISTS ( SELECT 1 FROM tm WHERE ((tm.tenant_id)::text = (tm.tenant_id)::text)))"
    ));
    assert!(!compares_with_itself("(EXISTS ( SELECT 1 FROM tm WHERE (tm.tenant_id = doc.tenant_id)))"));
    assert!(!compares_with_itself("(EXISTS ( SELECT 1 FROM tm WHERE (lower(tm.name) = tm.name)))"));
    assert!(takes_null_for_a_tenant(
        "(NOT (tenant_id IS DISTINCT FROM current_setting('app.tenant'::text, true)))",
        "tenant_id"
    ));
    assert!(!takes_null_for_a_tenant("(tenant_id IS DISTINCT FROM 'x'::text)", "tenant_id"));
}
