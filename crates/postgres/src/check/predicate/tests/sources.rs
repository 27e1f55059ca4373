//! Where a value of a policy comes from, over tables, types and functions.

use super::*;

#[test]
fn what_a_column_is_decides_what_a_cast_or_one_case_leaves_out() {
    let known = known();
    let of = |base: &str, one_case: bool, text: &str| {
        let reading = Reading { base, one_case, ..reading(&known) };
        reading.tests(&text.replace("{S}", S))
    };
    let by_number = "((tenant_id)::bigint = ({S})::bigint)";
    assert_eq!(of("int4", false, by_number), Tests::Tenant);
    assert_eq!(of("text", false, by_number), Tests::Unknown);
    assert_eq!(of("int8", false, "((tenant_id)::text = {S})"), Tests::Tenant);
    let lower = "(tenant_id = app.norm_by_name({S}))";
    assert_eq!(of("text", true, lower), Tests::Tenant);
    assert_eq!(of("text", false, lower), Tests::Unknown);
    for (check, leaves) in [
        ("CHECK ((tenant_id = lower(tenant_id)))", true),
        ("CHECK (((tenant_id <> ''::text) AND (lower(tenant_id) = tenant_id)))", true),
        ("CHECK ((tenant_id ~ '^[a-z0-9_]+$'::text))", true),
        ("CHECK ((tenant_id ~ '^[a-z][a-z0-9-]{0,62}(_[a-z]+)?$'::text))", true),
        ("CHECK ((tenant_id ~ '^[-_.a-z]*$'::text))", true),
        ("CHECK ((tenant_id ~ '^[!-~]+$'::text))", false),
        ("CHECK ((tenant_id ~ '^[0-z]+$'::text))", false),
        ("CHECK ((tenant_id ~ '^[a-z_-~]+$'::text))", false),
        ("CHECK ((tenant_id ~ '^[^x]+$'::text))", false),
        ("CHECK ((tenant_id ~ '^(?i)[a-z]+$'::text))", false),
        ("CHECK ((tenant_id ~ '^[[:alpha:]]+$'::text))", false),
        ("CHECK ((tenant_id ~ '^[a-z]+'::text))", false),
        ("CHECK ((tenant_id ~ '.'::text))", false),
        ("CHECK ((tenant_id ~ '^[a-zA-Z]+$'::text))", false),
        ("CHECK ((tenant_id ~* '^[a-z]+$'::text))", false),
        ("CHECK ((lower(tenant_id) <> ''::text))", false),
        ("CHECK (((status = 'x'::text) OR (tenant_id = lower(tenant_id))))", false),
        ("CHECK ((name = lower(name)))", false),
    ] {
        assert_eq!(leaves_one_case(check, "tenant_id"), leaves, "{check}");
    }
}

#[test]
fn a_name_that_all_have_is_nobodys() {
    let known = Known { users_differ: false, ..known() };
    for text in [
        "(tenant_id = (CURRENT_USER)::text)",
        "(EXISTS ( SELECT 1 FROM d WHERE ((d.code = orders.tenant_id) AND (d.db_user = CURRENT_USER))))",
        "(EXISTS ( SELECT 1 FROM d WHERE ((d.code = orders.tenant_id) AND (d.role = auth.role()))))",
        "(tenant_id = current_setting('role'::text))",
    ] {
        assert_eq!(reading(&known).tests(text), Tests::Unknown, "{text}");
    }
}

#[test]
fn a_value_is_carried_on_over_keys_alone() {
    const USER: &str = "(m.uid = current_setting('app.user'::text, true))";
    let of = |from: &str, and: &str| {
        let text = format!("(EXISTS ( SELECT 1 FROM {from} WHERE ({USER} AND {and})))");
        tests(&text)
    };
    for (from, and) in [
        ("(shop.mem m JOIN shop.accounts a ON ((a.code = m.code)))", "(a.code = orders.tenant_id)"),
        ("(shop.mem m JOIN shop.accounts a ON ((a.code = m.code)))", "(a.parent = orders.tenant_id)"),
        // The same value, whatever its rows are.
        ("(shop.mem m JOIN shop.x x ON ((x.code = m.code)))", "(x.code = orders.tenant_id)"),
        ("(shop.mem m JOIN shop.teams USING (id))", "(teams.org = orders.tenant_id)"),
        (
            "((shop.mem m JOIN shop.items i ON ((i.tenant_id = m.org))) JOIN shop.x ON ((x.id = i.x)))",
            "(i.owner = orders.tenant_id)",
        ),
        ("(shop.mem m LEFT JOIN shop.accounts a ON ((a.code = m.code)))", "(m.code = orders.tenant_id)"),
    ] {
        assert_eq!(of(from, and), Tests::Tenant, "{from} {and}");
    }
    for (from, and) in [
        (
            "((shop.mem m JOIN shop.accounts a ON ((a.code = m.code))) JOIN shop.accounts b ON ((b.plan = a.plan)))",
            "(b.code = orders.tenant_id)",
        ),
        ("(shop.mem m JOIN shop.mem m2 ON ((m2.country = m.country)))", "(m2.code = orders.tenant_id)"),
        // Over a table that is everybody's.
        (
            "((shop.mem m JOIN shop.countries c ON ((c.code = m.country))) JOIN shop.mem m2 ON ((m2.country = c.code)))",
            "(m2.code = orders.tenant_id)",
        ),
        (
            "((shop.mem m JOIN shop.users u USING (uid)) JOIN shop.tens t ON (t.active))",
            "(t.code = orders.tenant_id)",
        ),
        ("(shop.mem m LEFT JOIN shop.tens t ON ((t.code = orders.tenant_id)))", "true"),
        (
            "(shop.mem m JOIN ( SELECT a.code FROM shop.accounts a) s ON ((s.code = m.code)))",
            "(s.other = orders.tenant_id)",
        ),
    ] {
        assert_eq!(of(from, and), Tests::Unknown, "{from} {and}");
    }
    let listed = "(tenant_id IN ( SELECT x.code FROM x WHERE (x.country IN ( SELECT m.country FROM m WHERE (m.uid = auth.uid())))))";
    assert_eq!(tests(listed), Tests::Unknown);
}

/// Work does not double with each level, and ends.
#[test]
fn what_is_deep_in_functions_and_subqueries_ends() {
    let mut known = known();
    for level in 0..7 {
        let source = format!("SELECT coalesce({})", vec![format!("app.g{}()", level + 1); 8].join(", "));
        let body =
            Body { schema: "app".to_owned(), language: "sql".to_owned(), arguments: Vec::new(), source };
        known.functions.insert(format!("g{level}"), vec![body]);
    }
    let last = known.functions.get("tenant").cloned().unwrap();
    known.functions.insert("g7".to_owned(), last);
    assert_eq!(reading(&known).tests("(tenant_id = app.g0())"), Tests::Unknown);
    assert_eq!(reading(&known).tests("(tenant_id = app.g6())"), Tests::Tenant);
    let nested = (0..40).fold("c.name = 'x'".to_owned(), |inner, level| {
        format!("(c{level}.code = ( SELECT c.code FROM shop.countries c WHERE ({inner})))")
    });
    let view = format!(
        "SELECT o.id, ( SELECT c.name FROM shop.countries c WHERE ({nested})) AS n FROM shop.orders o WHERE (o.tenant_id = {S})"
    );
    let tables = [Filtered { table: "orders", column: "tenant_id", base: "text", one_case: false }];
    let _either = Filter { tables: &tables, setting: "app.tenant", known: &known }.holds(&view);
    let mut joins = "shop.orders t0".to_owned();
    for at in 1..200 {
        joins = format!("({joins} JOIN shop.orders t{at} ON ((t{at}.tenant_id = t{}.tenant_id)))", at - 1);
    }
    let view = format!("SELECT t0.id FROM {joins} WHERE (t0.tenant_id = {S})");
    assert!(Filter { tables: &tables, setting: "app.tenant", known: &known }.holds(&view));
    let parentheses = format!("SELECT 1 FROM {}shop.orders{}", "(".repeat(30_000), ")".repeat(30_000));
    assert!(!Filter { tables: &tables, setting: "app.tenant", known: &known }.holds(&parentheses));
}
