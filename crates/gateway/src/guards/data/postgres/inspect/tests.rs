//! What the checks of a statement's text take and refuse.

use super::*;

fn why(sql: &str, writes: bool) -> String {
    match declared(sql, writes) {
        Ok(_) => panic!("{sql} was taken"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn parameters_get_numbers_and_nothing_else_changes() {
    let sql = "SELECT ':no' AS \":no\", t::text, /* :no */ $$ :no $$, E':n\\'o' -- :no\n\
               FROM tickets WHERE ö = :status AND (:status IS NULL OR id=:id::int) LIMIT :limit";
    let got = declared(sql, false).unwrap();
    assert_eq!(got.params, ["status", "id", "limit"]);
    let expected = sql.replace(":status", "$1").replace("=:id::", "=$2::").replace(":limit", "$3");
    assert_eq!(got.sql, expected);
}

#[test]
fn what_reads_and_what_writes_is_told_apart() {
    for sql in [
        "SELECT 1",
        "VALUES (1)",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a UNION SELECT 2",
        "SELECT current_setting('app.tenant', true)",
        "SELECT jsonb_agg(t) FROM tickets t",
        "SELECT id FROM tickets ORDER BY id FETCH FIRST 3 ROWS ONLY",
    ] {
        declared(sql, false).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    for sql in [
        "INSERT INTO t (a) VALUES (:a) ON CONFLICT DO NOTHING RETURNING id",
        "UPDATE t SET a = :a WHERE id = :id",
        "DELETE FROM t WHERE id = :id",
        "WITH x AS (DELETE FROM t RETURNING id) SELECT id FROM x",
        "SELECT id FROM t FOR UPDATE",
    ] {
        declared(sql, true).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(why(sql, false).contains("writes = true"), "{sql}");
    }
}

#[test]
fn what_moves_the_tenant_or_leaves_the_transaction_is_refused() {
    for sql in [
        "SELECT set_config('app.tenant', 'globex', true)",
        "SELECT pg_catalog.set_config('app.tenant', 'globex', true)",
        "SELECT \"set_config\"('app.tenant', 'globex', true)",
        "SELECT SET_CONFIG ('app.tenant', 'globex', true)",
        "SELECT pg_catalog . /* x */ set_config /* y */ ('app.tenant', 'globex', true)",
        "SELECT U&\"set\\005fconfig\"('app.tenant', 'globex', true)",
        "WITH x AS MATERIALIZED (SELECT set_config('app.tenant', 'globex', true)) SELECT * FROM x, tickets",
        "SELECT * FROM set_config('app.tenant', 'globex', true)",
        "SELECT u&\"set\\005fconfig\"('app.tenant', 'globex', true)",
        "SELECT U&\"set!005fconfig\" UESCAPE '!' ('app.tenant', 'globex', true)",
        "SELECT U&'\\0073et_config'",
        "SELECT query_to_xml('select set_config(''app.tenant'',''globex'',true)', true, true, '')",
        "SELECT pg_catalog.\"query_to_xml\"('select 1', true, true, '')",
        "SELECT query_to_xml_and_xmlschema('select 1', true, true, '')",
        "SELECT query_to_xmlschema('select 1', true, true, '')",
        "SELECT cursor_to_xml('c', 1, true, true, '')",
        "SELECT table_to_xml('tickets', true, true, '')",
        "SELECT schema_to_xml('public', true, true, '')",
        "SELECT database_to_xml(true, true, '')",
        "SELECT * FROM ts_stat('select set_config(''app.tenant'',''globex'',true)::tsvector')",
        "SELECT ts_rewrite('a'::tsquery, 'select set_config(''a.b'',''c'',true)::tsquery, ''b''::tsquery')",
        "SET app.tenant = 'globex'",
        "SET LOCAL app.tenant = 'globex'",
        "SET ROLE other",
        "SET SESSION AUTHORIZATION other",
        "RESET ALL",
        "RESET ROLE",
        "DISCARD ALL",
        "SHOW app.tenant",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "COMMIT; SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1;; SELECT 2",
        "PREPARE a AS SELECT 1",
        "EXECUTE a",
        "DEALLOCATE ALL",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "FETCH ALL FROM c",
        "DO $$ BEGIN PERFORM set_config('app.tenant', 'globex', true); END $$",
        "CALL p()",
        "LISTEN a",
        "NOTIFY a",
        "LOCK TABLE tickets",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN SELECT 1",
        "COPY tickets TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO STDOUT",
        "CREATE TEMP TABLE tickets (id int)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "SELECT 1 AS a INTO TEMP x",
        "TRUNCATE tickets",
        "ALTER TABLE tickets DISABLE ROW LEVEL SECURITY",
        "DROP POLICY p ON tickets",
        "GRANT ALL ON tickets TO PUBLIC",
        "VACUUM",
        "",
        "-- nothing",
        "SELECT 1 \0",
        "SELECT $1",
    ] {
        for writes in [false, true] {
            why(sql, writes);
        }
    }
}

#[test]
fn what_one_reader_sees_and_another_does_not_is_refused() {
    for sql in [
        // The server sees the end of a comment where another reader may see none.
        "SELECT 1 --\r, set_config('app.tenant', 'globex', true)",
        "SELECT 1 -- \x0b",
        "SELECT\x0cset_config('app.tenant', 'globex', true)",
        "SELECT 1 --\u{85}, 2",
        "SELECT 1 /* /* */ , set_config('app.tenant', 'globex', true) -- */ */",
    ] {
        for writes in [false, true] {
            why(sql, writes);
        }
    }
}

#[test]
fn what_looks_at_others_is_refused() {
    for sql in [
        "SELECT query FROM pg_stat_activity",
        "SELECT * FROM pg_catalog.pg_class",
        "SELECT * FROM \"pg_stats\"",
        "SELECT table_name FROM information_schema.tables",
        "SELECT * FROM tickets, LATERAL (SELECT reltuples FROM pg_class) x",
        "SELECT * FROM (TABLE pg_roles) x",
        "WITH a AS (TABLE pg_stat_activity) SELECT * FROM a",
        "SELECT * FROM (TABLE information_schema.applicable_roles) x",
        "SELECT 1 UNION ALL TABLE pg_roles",
        "SELECT * FROM ONLY pg_roles",
        "SELECT * FROM ROWS FROM (pg_ls_dir('.')) x",
        "SELECT (SELECT rolname FROM pg_roles LIMIT 1)",
        "SELECT * FROM tickets WHERE EXISTS (TABLE pg_roles)",
        "SELECT pg_stat_get_activity(NULL)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_get(1)",
        "SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)",
        "SELECT pg_sleep(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT lastval()",
        "SELECT currval('seen')",
        "SELECT setval('seen', 1)",
        "SELECT 'globex'::regrole",
        "SELECT CAST(:name AS regrole)",
        "SELECT regrole 'globex'",
        "SELECT 'of_globex'::\"regnamespace\"",
        "SELECT :name::pg_catalog.regclass::text",
        "SELECT to_regrole('globex')",
        "SELECT to_regclass('of_globex.tickets')",
        "SELECT has_table_privilege('globex', 'tickets', 'SELECT')",
        "SELECT has_schema_privilege('of_globex', 'USAGE')",
        "SELECT pg_has_role('globex', 'MEMBER')",
        "SELECT pg_get_userbyid(10)",
        "SELECT pg_database_size(current_database())",
        "SELECT pg_relation_size('tickets')",
        "SELECT pg_get_viewdef('v')",
        "SELECT txid_current()",
        "SELECT lo_get(lo_from_bytea(0, 'x'))",
        "SELECT loread(1, 2)",
        "SELECT pg_read_binary_file('/etc/passwd')",
        "SELECT dblink_connect('host=x')",
        "SELECT pg_notify('a', 'b')",
        "SELECT pg_terminate_backend(1)",
    ] {
        why(sql, false);
    }
}

#[test]
fn what_a_model_writes_is_looked_at_more_closely() {
    declared("SELECT pg_advisory_xact_lock(1)", false).expect("a lock that ends with the call");
    assert!(written("SELECT pg_advisory_xact_lock(1)", false).is_err(), "another tenant's key");
    declared("SELECT pg_typeof(1), has_paid, to_regular FROM tickets", false).expect("harmless");
    declared("SELECT pg_notify_count, set_configs FROM tickets", false).expect("columns, not calls");
}

#[test]
fn what_tells_the_names_of_others_is_refused() {
    for sql in [
        "SELECT makeaclitem(16384, 10, 'SELECT', false)",
        "SELECT acldefault('r', 16384)",
        "SELECT 'globex=r/acme'::aclitem",
        "SELECT '{globex=r/acme}'::_aclitem",
        "SELECT '{16384}'::_regrole",
        "SELECT '{16384}'::pg_catalog.\"_regrole\"",
        "SELECT format_type(16390, NULL)",
        "SELECT oidvectortypes('16390')",
        "SELECT regroleout(16384)",
        "SELECT regrolein('globex')",
        "SELECT array_in('{16384}', 4096, -1)",
        "SELECT record_in('(1)', 83, -1)",
    ] {
        why(sql, false);
    }
    for sql in [
        "SELECT 16390::regtype",
        "SELECT json_populate_record(NULL::pg_class, '{\"relacl\": [\"globex=r/acme\"]}')",
        "SELECT json_populate_record(NULL::pg_catalog.\"pg_type\", '{\"typinput\": \"46\"}')",
        "SELECT '{}'::_pg_class",
        "SELECT xmin FROM tickets",
        "SELECT t.\"xmax\" FROM tickets t",
    ] {
        assert!(written(sql, false).is_err(), "{sql}");
    }
    for sql in [
        "SELECT to_tsvector('english'::regconfig, title), xmin FROM tickets",
        "SELECT accruals, regions, registered_in FROM tickets",
    ] {
        declared(sql, false).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    written("SELECT pg_catalog.lower(title), pg_typeof(id) = 'bigint' AS big FROM tickets", false)
        .expect("its own rows");
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    why(&deep, false);
    why(&format!("SELECT '{}'", "x".repeat(LONGEST)), false);
    assert!(written("SELECT :a", false).is_err());
    assert!(written("SELECT 1", false).is_ok());
}
