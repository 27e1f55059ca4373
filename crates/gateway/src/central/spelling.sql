-- Whether an id was removed before is asked of all its spellings. Applied after `schema.sql`, and to a schema that an earlier
-- build has made.

CREATE POLICY in_any_spelling ON partywall.shredded FOR SELECT
    USING (lower(tenant) = lower(current_setting('partywall.tenant', true)));
CREATE INDEX IF NOT EXISTS shredded_spelling ON partywall.shredded (lower(tenant));
