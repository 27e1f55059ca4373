-- Alerts of all tenants in one table; the policy decides whose rows exist.
SET ROLE alerts_owner;

CREATE TABLE alerts (
    tenant_id text NOT NULL DEFAULT nullif(current_setting('app.tenant', true), '') CHECK (tenant_id <> ''),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    severity int NOT NULL CHECK (severity BETWEEN 0 AND 4),
    title text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed')),
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ON alerts (tenant_id, created_at DESC);

ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON alerts TO alerts_app
    USING (tenant_id = nullif(current_setting('app.tenant', true), ''));
GRANT SELECT, INSERT, UPDATE ON alerts TO alerts_app;

RESET ROLE;
