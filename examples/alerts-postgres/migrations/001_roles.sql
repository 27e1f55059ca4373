-- Roles: the owner of the tables, who runs migrations, and the gateway's. As a superuser, once for each server.
-- Set the gateway's password with \password alerts_app, or ALTER ROLE, and not here.
CREATE ROLE alerts_owner NOLOGIN;
CREATE ROLE alerts_app LOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO alerts_owner;
GRANT USAGE ON SCHEMA public TO alerts_app;
-- Nobody needs temporary tables here, and one could stand before a real one.
DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$;
