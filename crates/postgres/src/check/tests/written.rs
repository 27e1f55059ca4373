//! Rows of which policies ask whose something is, and who may write them.

use super::{
    reading::{HELPERS, by_catalogue, grave, nothing_is_told, policy},
    *,
};

/// A table with its columns, its own policies and rights: what the application's role may write, and who says so.
fn members(rights: &str, policies: &str) -> String {
    format!(
        "{HELPERS} CREATE TABLE shop.tm (tenant_id text NOT NULL CHECK (tenant_id <> ''), uid text NOT NULL, note text,
             of text, PRIMARY KEY (tenant_id, uid));
         CREATE TABLE shop.tenants (code text PRIMARY KEY, owner text NOT NULL, plan text);
         CREATE FUNCTION shop.is_admin(text) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT true';
         ALTER TABLE shop.tm OWNER TO shop_owner; ALTER TABLE shop.tm ENABLE ROW LEVEL SECURITY;
         ALTER TABLE shop.tm FORCE ROW LEVEL SECURITY; GRANT {rights}; GRANT SELECT ON shop.tm, shop.tenants TO shop_app;
         {policies}"
    )
}

const OWN: &str = "CREATE POLICY own ON shop.tm TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));";
const SELF: &str = "CREATE POLICY own ON shop.tm FOR SELECT TO shop_app
    USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
    CREATE POLICY joins ON shop.tm FOR INSERT TO shop_app WITH CHECK (uid = current_setting('app.user', true));";
const BY_MEMBERSHIP: &str =
    "tenant_id IN (SELECT m.tenant_id FROM shop.tm m WHERE m.uid = current_setting('app.user', true))";
const BY_OTHER: &str =
    "tenant_id = {S} OR EXISTS (SELECT 1 FROM shop.tm s WHERE s.tenant_id = {S} AND s.of = orders.tenant_id)";

/// The rule says so, and the gateway starts, but for those that another rule refuses.
#[test]
fn rows_that_whoever_asks_may_write_are_told() {
    let cases = [
        // Its own policy holds the tenant, and not whose rows are shown.
        (members("INSERT ON shop.tm TO shop_app", OWN), BY_OTHER),
        (members("UPDATE (of) ON shop.tm TO shop_app", OWN), BY_OTHER),
        // Anybody joins any tenant.
        (members("INSERT ON shop.tm TO shop_app", SELF), BY_MEMBERSHIP),
        // Over a key and over a function.
        (
            members("INSERT ON shop.tm TO shop_app", OWN),
            "EXISTS (SELECT 1 FROM shop.tm s JOIN shop.tenants t ON t.code = s.of WHERE s.tenant_id = {S} AND t.code = orders.tenant_id)",
        ),
        (
            members("INSERT ON shop.tm TO shop_app", SELF)
                + "CREATE FUNCTION shop.mine() RETURNS SETOF text STABLE SECURITY INVOKER LANGUAGE sql AS
                       $$ SELECT m.tenant_id FROM shop.tm m WHERE m.uid = current_setting('app.user', true) $$;",
            "tenant_id IN (SELECT shop.mine())",
        ),
        (members("UPDATE ON shop.tenants TO shop_app", OWN), "tenant_id IN (SELECT t.plan FROM shop.tenants t WHERE t.owner = {S})"),
        // No policy at all.
        (
            "CREATE TABLE shop.mem (code text, uid text, PRIMARY KEY (code, uid)); GRANT SELECT, INSERT ON shop.mem TO shop_app;".to_owned(),
            "tenant_id IN (SELECT m.code FROM shop.mem m WHERE m.uid = current_setting('app.user', true))",
        ),
    ];
    runtime().block_on(async {
        let mut base = Base::new("pw_check_written").await;
        let mut problems = Vec::new();
        for (before, using) in cases {
            let report = base.check(&format!("{before} {}", policy(using)), &by_catalogue()).await;
            let told = ids(&report).contains("policy-by-writable-rows");
            let refused = grave(&report);
            let of_the_rows =
                |rule: &&&str| **rule != "check-without-tenant-test" && **rule != "policy-not-understood";
            if !told
                || refused.iter().any(|rule| of_the_rows(&rule))
                || refused.len() > usize::from(before.contains("joins"))
            {
                problems.push(format!("{:?}, grave {refused:?}: {before} {using}", ids(&report)));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}

#[test]
fn rows_that_somebody_else_writes_or_a_policy_holds_are_not_told_of() {
    let all: Vec<String> = [
        (members("INSERT, UPDATE ON shop.tm TO shop_app", OWN), BY_MEMBERSHIP),
        (members("UPDATE (note) ON shop.tm TO shop_app", OWN), BY_OTHER),
        // What is shown is the tenant's own, to whom is its choice.
        (
            members("INSERT ON shop.tm TO shop_app", OWN),
            "tenant_id = {S} OR EXISTS (SELECT 1 FROM shop.tm s WHERE s.of = {S} AND s.tenant_id = orders.tenant_id)",
        ),
        // Whoever is an administrator there, or was invited, as a policy says in its own words.
        (
            members("INSERT ON shop.tm TO shop_app", &format!("{OWN} ALTER POLICY own ON shop.tm WITH CHECK
                (tenant_id = nullif(current_setting('app.tenant', true), '') AND shop.is_admin(of));")),
            BY_OTHER,
        ),
        (
            members("INSERT ON shop.tm TO shop_app", &format!("{OWN} CREATE POLICY asked ON shop.tm AS RESTRICTIVE FOR INSERT
                TO shop_app WITH CHECK (shop.is_admin(of));")),
            BY_OTHER,
        ),
        // Whoever makes a tenant owns it, and it has no other's name.
        (members("INSERT ON shop.tenants TO shop_app", OWN), "tenant_id IN (SELECT t.code FROM shop.tenants t WHERE t.owner = {S})"),
        // A trigger looks at it.
        (
            members("INSERT ON shop.tm TO shop_app", &format!("{OWN} CREATE FUNCTION shop.looks() RETURNS trigger LANGUAGE plpgsql
                SET search_path = shop, pg_temp AS $$ BEGIN IF NOT shop.is_admin(NEW.of) THEN RAISE 'no'; END IF; RETURN NEW; END $$;
                REVOKE EXECUTE ON FUNCTION shop.looks FROM PUBLIC;
                CREATE TRIGGER looks BEFORE INSERT ON shop.tm FOR EACH ROW EXECUTE FUNCTION shop.looks();")),
            BY_OTHER,
        ),
    ]
    .into_iter()
    .map(|(before, using)| format!("{before} {}", policy(using)))
    .collect();
    nothing_is_told("pw_check_unwritten", &all);
}
