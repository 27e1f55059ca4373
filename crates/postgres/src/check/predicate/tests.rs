//! What texts are read as.

use super::*;

fn tests(text: &str) -> Tests {
    Reading { column: "tenant_id", setting: "app.tenant" }.tests(text)
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
        (format!("((tenant_id = {setting}) IS NOT TRUE)"), Tests::Unknown),
        (format!("(tenant_id <> {setting})"), Tests::Unknown),
        (format!("((tenant_id = {setting}) IS FALSE)"), Tests::Unknown),
        (format!("(NOT (tenant_id IS DISTINCT FROM {setting}))"), Tests::Tenant),
        ("(tenant_id = lower(status))".to_owned(), Tests::Nothing),
        (format!("(tenant_id = lower({setting}))"), Tests::Tenant),
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
    let compared = |text: &str, column: &str| compares_with_the_setting(text, column, "app.tenant");
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
fn a_condition_ends_where_its_parentheses_do() {
    assert_eq!(
        first_group("((a = ')'::text) AND (b = 1))\n  ORDER BY (id);"),
        Some("((a = ')'::text) AND (b = 1))")
    );
    assert_eq!(first_group("a = 1"), None);
    assert_eq!(first_group("(a = 1"), None);
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
    assert!(!compares_with_itself("(EXISTS ( SELECT 1 FROM tm WHERE (tm.tenant_id = doc.tenant_id)))"));
    assert!(takes_null_for_a_tenant(
        "(NOT (tenant_id IS DISTINCT FROM current_setting('app.tenant'::text, true)))",
        "tenant_id"
    ));
    assert!(!takes_null_for_a_tenant("(tenant_id IS DISTINCT FROM 'x'::text)", "tenant_id"));
}
