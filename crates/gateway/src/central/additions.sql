-- What was added to the schema. Applied after `schema.sql`, and once to a schema that an earlier build has made; an earlier
-- build goes on with it.

-- Which ids were removed is readable, as the heads are: whoever is given such an id must be told from whoever had it.
DROP POLICY IF EXISTS in_any_spelling ON partywall.shredded;
DROP POLICY IF EXISTS readable ON partywall.shredded;
CREATE POLICY readable ON partywall.shredded FOR SELECT USING (true);
CREATE INDEX IF NOT EXISTS shredded_spelling ON partywall.shredded (lower(tenant));

-- The tag tells a change from another one that got the same number after a backup was restored.
ALTER TABLE partywall.change ADD COLUMN IF NOT EXISTS tag text NOT NULL DEFAULT gen_random_uuid()::text;
ALTER TABLE partywall.replica ADD COLUMN IF NOT EXISTS tag text;

-- Whether the id had a life before this one.
ALTER TABLE partywall.tenant ADD COLUMN IF NOT EXISTS again boolean NOT NULL DEFAULT false;
UPDATE partywall.tenant AS t SET again = true
    WHERE NOT again AND EXISTS (SELECT FROM partywall.shredded AS s WHERE lower(s.tenant) = lower(t.id));

-- A life's number is no smaller than the present time: in a database that was restored, counting on would give numbers
-- again that were given after the backup was made. Whoever adds tenants does it alone. When a life begins is said by this
-- server's clock, as the number is, and not by that of whoever runs the command. A row whose number was not counted here
-- just now is one of a backup, and keeps what it has: its secrets lie under its number.
CREATE OR REPLACE FUNCTION partywall.begin_life() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    now bigint := (extract(epoch FROM statement_timestamp()) * 1000000)::bigint;
    counted bigint;
BEGIN
    new.again := new.again OR EXISTS (SELECT FROM partywall.shredded AS s WHERE lower(s.tenant) = lower(new.id));
    BEGIN
        counted := currval('partywall.tenant_incarnation_seq');
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        RETURN new;
    END;
    IF new.incarnation <> counted THEN
        RETURN new;
    END IF;
    IF new.incarnation < now THEN
        new.incarnation := now;
        PERFORM setval('partywall.tenant_incarnation_seq', now);
    END IF;
    new.created_at := now / 1000000;
    RETURN new;
END $$;
DROP TRIGGER IF EXISTS begun ON partywall.tenant;
CREATE TRIGGER begun BEFORE INSERT ON partywall.tenant FOR EACH ROW EXECUTE FUNCTION partywall.begin_life();

-- Those of these logs that have lines, whatever their heads say.
CREATE OR REPLACE FUNCTION partywall.with_lines(names text[]) RETURNS SETOF text
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY names LOOP
        PERFORM set_config('partywall.tenant', name, true);
        IF EXISTS (SELECT FROM partywall.audit WHERE tenant = name) THEN
            RETURN NEXT name;
        END IF;
    END LOOP;
    PERFORM set_config('partywall.tenant', '', true);
END $$;

-- What was added is noted together: nobody else can change a tenant meanwhile. When it is more than the log keeps, one
-- change stands for all of it and nothing is left of what was before, so that everybody reads everything.
CREATE OR REPLACE FUNCTION partywall.note_new() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    added bigint := (SELECT count(*) FROM fresh);
    last bigint;
BEGIN
    IF added > 4096 THEN
        DELETE FROM partywall.change;
        INSERT INTO partywall.change (id, incarnation) VALUES ('', 0);
    ELSIF added > 0 THEN
        INSERT INTO partywall.change (id, incarnation) SELECT id, incarnation FROM fresh ORDER BY incarnation;
        SELECT max(number) INTO last FROM partywall.change;
        IF last % 256 < added THEN
            DELETE FROM partywall.change WHERE number <= last - 4096;
        END IF;
    END IF;
    PERFORM pg_notify('partywall_tenants', '');
    RETURN NULL;
END $$;
DROP TRIGGER IF EXISTS noted ON partywall.tenant;
CREATE TRIGGER noted AFTER UPDATE OR DELETE ON partywall.tenant
    FOR EACH ROW EXECUTE FUNCTION partywall.note_change();
DROP TRIGGER IF EXISTS noted_new ON partywall.tenant;
CREATE TRIGGER noted_new AFTER INSERT ON partywall.tenant REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION partywall.note_new();
