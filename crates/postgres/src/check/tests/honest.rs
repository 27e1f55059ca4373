//! Policies as applications have them that keep their tenants apart: the gateway starts with each.

use super::{
    reading::{HELPERS, by_catalogue, grave},
    *,
};

/// A table of documents, organisations, users of the application and who is a member of what.
const TABLES: &str = "
    CREATE TABLE shop.docs (id bigint PRIMARY KEY, tenant_id uuid NOT NULL, owner uuid);
    ALTER TABLE shop.docs OWNER TO shop_owner; ALTER TABLE shop.docs ENABLE ROW LEVEL SECURITY;
    ALTER TABLE shop.docs FORCE ROW LEVEL SECURITY; CREATE INDEX ON shop.docs (tenant_id);
    GRANT SELECT, INSERT, UPDATE, DELETE ON shop.docs TO shop_app;
    CREATE TABLE shop.org (id uuid PRIMARY KEY, slug text UNIQUE, plan text);
    CREATE TABLE shop.usr (id uuid PRIMARY KEY, auth_id uuid UNIQUE, oid uuid, email text);
    CREATE TABLE shop.om (user_id uuid, oid uuid, role text, revoked_at timestamptz, PRIMARY KEY (user_id, oid));
    CREATE TABLE shop.project (id uuid PRIMARY KEY, oid uuid);
    GRANT SELECT ON shop.org, shop.usr, shop.om, shop.project TO shop_app;
    CREATE FUNCTION auth.role() RETURNS text STABLE LANGUAGE sql AS
        $$ select nullif(current_setting('request.jwt.claim.role', true), '')::text $$;
    CREATE FUNCTION auth.tenant_id() RETURNS uuid STABLE LANGUAGE sql AS $$ select nullif(
        ((current_setting('request.jwt.claims')::jsonb ->> 'app_metadata')::jsonb ->> 'tenant_id'), '')::uuid $$;
    CREATE FUNCTION shop.my_orgs() RETURNS SETOF uuid STABLE LANGUAGE sql AS
        $$ select om.oid from shop.om where om.user_id = auth.uid() $$;
    CREATE FUNCTION shop.my_user() RETURNS uuid STABLE LANGUAGE sql AS
        $$ select u.id from shop.usr u where u.auth_id = auth.uid() $$;
    CREATE FUNCTION shop.my_org() RETURNS uuid STABLE LANGUAGE plpgsql AS
        $$ begin return (select u.oid from shop.usr u where u.auth_id = auth.uid()); end $$;";

const POLICIES: &[&str] = &[
    "tenant_id = auth.tenant_id()",
    "tenant_id = (select auth.tenant_id())",
    "tenant_id = auth.tenant_id() and owner = auth.uid()",
    "tenant_id = auth.tenant_id() and (owner = auth.uid() or owner is null)",
    "auth.role() = 'authenticated' and tenant_id = auth.tenant_id()",
    "coalesce(tenant_id = auth.tenant_id(), false)",
    "case when auth.uid() is null then false else tenant_id = auth.tenant_id() end",
    "tenant_id in (select shop.my_orgs())",
    "tenant_id = shop.my_org()",
    "tenant_id = (select shop.my_org())",
    "tenant_id in (select om.oid from shop.om where om.user_id = auth.uid())",
    "tenant_id in (select om.oid from shop.om where om.user_id = (select auth.uid()))",
    "tenant_id = any (array(select om.oid from shop.om where om.user_id = auth.uid()))",
    "tenant_id = (select om.oid from shop.om where om.user_id = auth.uid() order by om.role limit 1)",
    "exists (select 1 from shop.om where om.oid = docs.tenant_id and om.user_id = auth.uid())",
    "exists (select 1 from shop.om where om.oid = docs.tenant_id and om.user_id = auth.uid() and om.role in ('owner', 'admin'))",
    "exists (select 1 from shop.om where om.oid = docs.tenant_id and om.user_id = auth.uid() and om.revoked_at is null)",
    "exists (select 1 from shop.om where user_id = auth.uid() and oid = tenant_id and role = any (array['admin', 'member']))",
    "exists (select from shop.om where om.oid = docs.tenant_id and om.user_id = (select id from shop.usr where auth_id = auth.uid()))",
    "tenant_id in (select om.oid from shop.om where om.user_id in (select usr.id from shop.usr where usr.auth_id = auth.uid()))",
    "tenant_id in (select om.oid from shop.usr join shop.om on om.user_id = usr.id where usr.auth_id = auth.uid())",
    "exists (select 1 from shop.om inner join shop.usr on usr.id = om.user_id where usr.auth_id = auth.uid() and om.oid = docs.tenant_id)",
    "exists (select 1 from shop.org o join shop.om m on m.oid = o.id where o.id = docs.tenant_id and m.user_id = auth.uid())",
    "exists (select 1 from shop.om where om.oid = docs.tenant_id and om.user_id = shop.my_user())",
    "tenant_id in (select u.oid from shop.usr u where u.auth_id = auth.uid())",
    "tenant_id = (select u.oid from shop.usr u where u.auth_id = auth.uid() limit 1)",
    "tenant_id in (select om.oid from shop.om where om.user_id = auth.uid() union select u.oid from shop.usr u where u.auth_id = auth.uid())",
    "tenant_id in (select o.id from shop.org o where o.slug = auth.jwt() ->> 'org_slug')",
    "auth.uid() in (select om.user_id from shop.om where om.oid = docs.tenant_id)",
    "(select auth.uid()) in (select om.user_id from shop.om where om.oid = tenant_id and om.role = 'admin')",
    "(auth.jwt() ->> 'org_id') = tenant_id::text",
    "tenant_id = ((auth.jwt() -> 'app_metadata') ->> 'tenant_id')::uuid",
    "tenant_id = (auth.jwt() #>> '{app_metadata,tenant_id}')::uuid",
    "tenant_id = nullif(current_setting('request.jwt.claims', true)::json ->> 'tenant_id', '')::uuid",
    "tenant_id = current_setting('app.current_tenant')::uuid",
    "tenant_id = nullif(current_setting('app.current_tenant_id', true), '')::uuid",
    "tenant_id = any (nullif(current_setting('app.tenants', true), '')::uuid[])",
    "shop.my_user() in (select om.user_id from shop.om where om.oid = docs.tenant_id)",
    "tenant_id in (select om.oid from shop.om where om.user_id = (select shop.my_user()))",
];

#[test]
fn the_gateway_starts_with_what_applications_have() {
    runtime().block_on(async {
        let mut base = Base::new("pw_check_honest").await;
        let mut problems = Vec::new();
        for using in POLICIES {
            let sql =
                format!("{HELPERS} {TABLES} CREATE POLICY own ON shop.docs TO shop_app USING ({using})");
            let report = base.check(&sql, &by_catalogue()).await;
            if !grave(&report).is_empty() || ids(&report).contains("policy-by-writable-rows") {
                problems.push(format!("{:?}: {using}", ids(&report)));
            }
        }
        base.drop().await;
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    });
}
