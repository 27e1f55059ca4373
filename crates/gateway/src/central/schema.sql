-- What several gateway processes share in PostgreSQL: tenants, secrets and the audit log.
-- Applied once, by whichever process is first; `partywall.format` says which version it is.

CREATE SCHEMA IF NOT EXISTS partywall;

CREATE TABLE partywall.format (version integer NOT NULL);
INSERT INTO partywall.format VALUES (1);

-- Tenants ------------------------------------------------------------------------------------------------------------

CREATE TABLE partywall.tenant (
    incarnation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('active', 'suspended', 'removing')),
    created_at bigint NOT NULL
);
-- Two ids that a file system without case could not tell apart are one.
CREATE UNIQUE INDEX tenant_spelling ON partywall.tenant (lower(id));
-- Counting starts at the present time, so that not even a lost and remade registry repeats an incarnation (nor a restored
-- one, by `additions.sql`).
SELECT setval(pg_get_serial_sequence('partywall.tenant', 'incarnation'),
              (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

-- The log of changes, from which a process that knows an earlier state learns the present one.
CREATE TABLE partywall.change (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL
);
INSERT INTO partywall.change (id, incarnation) VALUES ('', 0);

CREATE FUNCTION partywall.note_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE last bigint;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO partywall.change (id, incarnation) VALUES (old.id, old.incarnation) RETURNING number INTO last;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO partywall.change (id, incarnation) VALUES (new.id, new.incarnation) RETURNING number INTO last;
    END IF;
    -- Not for each: where many change at once, each would pass over all that was deleted before it.
    IF last % 256 = 0 THEN
        DELETE FROM partywall.change WHERE number <= last - 4096;
    END IF;
    PERFORM pg_notify('partywall_tenants', '');
    RETURN NULL;
END $$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON partywall.tenant
    FOR EACH ROW EXECUTE FUNCTION partywall.note_change();

-- The processes that serve: how far in the log of changes each has come, and until when it may serve without asking.
CREATE TABLE partywall.replica (
    name text PRIMARY KEY,
    seen bigint NOT NULL,
    until timestamptz NOT NULL
);

-- Secrets ------------------------------------------------------------------------------------------------------------

CREATE TABLE partywall.master_check (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    sealed bytea NOT NULL
);

CREATE TABLE partywall.tenant_key (
    tenant text COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, incarnation)
);

CREATE TABLE partywall.secret (
    tenant text COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    updated_at bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, incarnation, name)
);

-- Keeps a late `secret set` from giving a removed tenant a new key.
CREATE TABLE partywall.shredded (
    tenant text COLLATE "C" NOT NULL,
    incarnation bigint NOT NULL,
    PRIMARY KEY (tenant, incarnation)
);

-- The audit log ------------------------------------------------------------------------------------------------------

-- One chain for each tenant and process that writes; `seq` and `hash` are those of its last line.
CREATE TABLE partywall.audit_head (
    tenant text COLLATE "C" NOT NULL,
    writer text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant, writer)
);

CREATE TABLE partywall.audit (
    tenant text COLLATE "C" NOT NULL,
    writer text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    at double precision NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (tenant, writer, seq)
);
CREATE INDEX audit_at ON partywall.audit (tenant, at);

CREATE FUNCTION partywall.append(of_tenant text, of_writer text, first bigint, times double precision[],
                                 lines text[], last_hash bytea) RETURNS void
LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT set_config('partywall.tenant', of_tenant, true);
    INSERT INTO partywall.audit (tenant, writer, seq, at, line)
        SELECT of_tenant, of_writer, first + place - 1, at, line
        FROM unnest(times, lines) WITH ORDINALITY AS new (at, line, place);
    INSERT INTO partywall.audit_head (tenant, writer, seq, hash)
        VALUES (of_tenant, of_writer, first + cardinality(lines) - 1, last_hash)
        ON CONFLICT (tenant, writer) DO UPDATE SET seq = excluded.seq, hash = excluded.hash;
$$;

-- What belongs to a tenant is seen and changed only in a transaction that names the tenant, by the owner of the tables
-- too. The heads stay readable: they name who has a log, and nothing of what stands in it.
ALTER TABLE partywall.tenant_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE partywall.tenant_key FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON partywall.tenant_key
    USING (tenant = current_setting('partywall.tenant', true))
    WITH CHECK (tenant = current_setting('partywall.tenant', true));
ALTER TABLE partywall.secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE partywall.secret FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON partywall.secret
    USING (tenant = current_setting('partywall.tenant', true))
    WITH CHECK (tenant = current_setting('partywall.tenant', true));
ALTER TABLE partywall.shredded ENABLE ROW LEVEL SECURITY;
ALTER TABLE partywall.shredded FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON partywall.shredded
    USING (tenant = current_setting('partywall.tenant', true))
    WITH CHECK (tenant = current_setting('partywall.tenant', true));
-- `additions.sql` lets everybody read which ids were removed.
ALTER TABLE partywall.audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE partywall.audit FORCE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON partywall.audit
    USING (tenant = current_setting('partywall.tenant', true))
    WITH CHECK (tenant = current_setting('partywall.tenant', true));
