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
-- again that were given after the backup was made. Whoever adds tenants does it alone.
CREATE OR REPLACE FUNCTION partywall.begin_life() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE now bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
    IF new.incarnation < now THEN
        new.incarnation := now;
        PERFORM setval(pg_get_serial_sequence('partywall.tenant', 'incarnation'), now);
    END IF;
    new.again := EXISTS (SELECT FROM partywall.shredded AS s WHERE lower(s.tenant) = lower(new.id));
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
