-- The schema that every page's SQL changes: safe, and no rule has anything to say about it.
CREATE ROLE shop_owner NOLOGIN;
CREATE ROLE shop_app LOGIN;
CREATE SCHEMA shop AUTHORIZATION shop_owner;
CREATE TABLE shop.orders (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    id bigint NOT NULL,
    status text NOT NULL DEFAULT 'open',
    total integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE shop.items (
    tenant_id text NOT NULL CHECK (tenant_id <> ''),
    id bigint NOT NULL,
    order_id bigint,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES shop.orders (tenant_id, id) ON DELETE CASCADE
);
CREATE TABLE shop.countries (code text PRIMARY KEY, name text NOT NULL);
ALTER TABLE shop.orders OWNER TO shop_owner;
ALTER TABLE shop.items OWNER TO shop_owner;
ALTER TABLE shop.countries OWNER TO shop_owner;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.orders FORCE ROW LEVEL SECURITY;
ALTER TABLE shop.items ENABLE ROW LEVEL SECURITY;
ALTER TABLE shop.items FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.orders TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
CREATE POLICY own ON shop.items TO shop_app USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
GRANT USAGE ON SCHEMA shop TO shop_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.orders, shop.items TO shop_app;
GRANT SELECT ON shop.countries TO shop_app;
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
INSERT INTO shop.orders (tenant_id, id) SELECT tenant, n FROM unnest(ARRAY['acme', 'globex']) tenant, generate_series(1, 5) n;
INSERT INTO shop.items (tenant_id, id, order_id) SELECT tenant_id, id, id FROM shop.orders;
