//! What a statement's text may say, seen by a real lexer and parser; and its parameters, as the server counts them.
//!
//! Whoever declares a statement is trusted, and can still be wrong: a statement that moves the tenant, leaves something
//! behind on a shared connection or looks into the catalogue is refused here, before the server sees it. That rows of
//! other tenants do not exist for it does not rest on this: the server's policies or the tenant's own role see to that,
//! in a transaction that is read-only unless the tool writes.

use std::ops::ControlFlow;

use sqlparser::{
    ast::{ObjectName, ObjectNamePart, Statement, visit_relations, visit_statements},
    dialect::PostgreSqlDialect,
    parser::Parser,
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Word},
};

use crate::guards::data::DataError;

/// The longest statement, in bytes.
const LONGEST: usize = 64 << 10;
/// How deep expressions may be nested; the parser recurses.
const DEEPEST: usize = 50;

/// Functions that change the session or what a policy reads, that outlive the transaction, that speak to other sessions,
/// files or servers, or that run SQL in a text. A `*` stands for any characters.
const FORBIDDEN: &[(&str, &str)] = &[
    ("set_config", "it changes settings, and the gateway alone sets them"),
    ("setseed", "it changes the session"),
    ("setval", "a sequence counts for all tenants"),
    ("currval", "it reads what another call left on the connection"),
    ("lastval", "it reads what another call left on the connection"),
    ("lo_*", "large objects belong to no tenant"),
    ("loread", "large objects belong to no tenant"),
    ("lowrite", "large objects belong to no tenant"),
    ("dblink*", "it connects to another server"),
    ("http_*", "it connects to another server"),
    ("query_to_xml*", "it runs SQL in a text"),
    ("cursor_to_xml*", "it runs SQL in a text"),
    ("table_to_xml*", "it runs SQL in a text"),
    ("schema_to_xml*", "it runs SQL in a text"),
    ("database_to_xml*", "it runs SQL in a text"),
    ("ts_stat", "it runs SQL in a text"),
    ("ts_rewrite", "it can run SQL in a text"),
    ("crosstab*", "it runs SQL in a text"),
    ("connectby", "it runs SQL in a text"),
    ("xpath_table", "it runs SQL in a text"),
    ("has_*_privilege", "it tells which roles and tables there are"),
    ("row_security_active", "it tells which tables there are"),
    ("to_reg*", "it tells which roles and tables there are"),
    ("obj_description", "it reads the server's catalogue"),
    ("col_description", "it reads the server's catalogue"),
    ("shobj_description", "it reads the server's catalogue"),
    ("format_type", "it tells which tables there are"),
    ("oidvectortypes", "it tells which tables there are"),
    ("acl*", "it tells which roles there are"),
    ("makeaclitem", "it tells which roles there are"),
    ("reg*in", "it tells which roles and tables there are"),
    ("reg*out", "it tells which roles and tables there are"),
    ("array_in", "it reads a text as any type, also one that tells which roles and tables there are"),
    ("record_in", "it reads a text as any type, also one that tells which roles and tables there are"),
    ("txid_*", "it tells what others do"),
];

/// The functions whose names begin with `pg_` that may be called. All others look at the server, at its files or at other
/// sessions, or may do so in a version to come.
const HARMLESS: &[&str] = &[
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_column_size",
    "pg_input_is_valid",
    "pg_size_pretty",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "pg_typeof",
];

/// Types whose values are names in the catalogue: whether a text can be read as one tells whether there is such a role,
/// table or schema.
const NAMING: &[&str] =
    &["aclitem", "regclass", "regnamespace", "regoper", "regoperator", "regproc", "regprocedure", "regrole"];

/// The same, and counters of all transactions, which are of use to whoever declares a statement and not to a model.
const WRITTEN_NAMING: &[&str] =
    &["oidvector", "regcollation", "regconfig", "regdictionary", "regtype", "xmax", "xmin"];

/// A statement whose text was looked at.
#[derive(Debug)]
pub(super) struct Inspected {
    /// The statement with `$1`, `$2`, … for its parameters.
    pub(super) sql: String,
    /// The same without parameters where they are only asked whether they are null, which tells the server nothing about
    /// their types; `None` if there is no such place.
    pub(super) typed: Option<String>,
    /// The parameters' names, in the order of their numbers.
    pub(super) params: Vec<String>,
}

/// Looks at a declared statement.
pub(super) fn declared(sql: &str, writes: bool) -> Result<Inspected, DataError> {
    let tokens = tokens(sql)?;
    let inspected = rewrite(sql, &tokens)?;
    check_words(&tokens, writes)?;
    check_tree(&inspected.sql, writes)?;
    Ok(inspected)
}

/// Looks at a statement that a model wrote: it has no parameters of its own.
pub(super) fn written(sql: &str, writes: bool) -> Result<Inspected, DataError> {
    let inspected = declared(sql, writes)?;
    if !inspected.params.is_empty() {
        return Err(refused("it has parameters; write the values into it".to_owned()));
    }
    if sql.to_ascii_lowercase().contains("advisory") {
        return Err(refused("advisory locks are one set for all tenants".to_owned()));
    }
    let words = tokens(sql)?.into_iter().filter_map(|token| match token.token {
        Token::Word(word) => Some(word.value),
        _ => None,
    });
    for word in words {
        let name = bare(&word);
        // Every table of the catalogue is a type too.
        let of_catalogue =
            name.starts_with("pg_") && name != "pg_catalog" && !HARMLESS.contains(&name.as_str());
        if of_catalogue || WRITTEN_NAMING.contains(&name.as_str()) {
            return Err(refused(format!("it names `{word}`, which is about all tenants")));
        }
    }
    Ok(inspected)
}

/// The name without regard to case, and that of an array's elements: the server puts `_` before it.
fn bare(word: &str) -> String {
    word.trim_start_matches('_').to_lowercase()
}

fn refused(text: String) -> DataError {
    DataError::Refused(text)
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, DataError> {
    if sql.len() > LONGEST {
        return Err(refused(format!("it is longer than {LONGEST} bytes")));
    }
    // For the server a carriage return ends a comment, and form feeds are spaces; for other readers they may not be.
    if let Some(control) = sql.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(refused(format!(
            "it contains the control character U+{:04X}; lines end with a line feed alone",
            u32::from(control)
        )));
    }
    let found = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize_with_location();
    found.map_err(|error| DataError::Configuration(error.to_string()))
}

/// Puts numbers where names are, and leaves every other character as it is.
fn rewrite(sql: &str, tokens: &[TokenWithSpan]) -> Result<Inspected, DataError> {
    let places = Places::of(sql);
    let lost = || DataError::Internal("a parameter's place in the statement was not found".to_owned());
    let mut inspected = Inspected { sql: String::with_capacity(sql.len()), typed: None, params: Vec::new() };
    let mut typed = String::with_capacity(sql.len());
    if tokens.iter().any(|token| matches!(token.token, Token::Placeholder(_))) {
        return Err(refused("parameters are written `:name`; `$1` and `?` are not allowed".to_owned()));
    }
    let mut copied = 0;
    for (index, pair) in tokens.windows(2).enumerate() {
        let [colon, name] = pair else { continue };
        let (Token::Colon, Token::Word(Word { value, quote_style: None, .. })) = (&colon.token, &name.token)
        else {
            continue;
        };
        if colon.span.end != name.span.start {
            continue;
        }
        let begin = places.offset(colon.span.start).ok_or_else(lost)?;
        let end = places.offset(name.span.end).ok_or_else(lost)?;
        if sql.get(begin..end) != Some(format!(":{value}").as_str()) {
            return Err(lost());
        }
        let number = match inspected.params.iter().position(|known| known == value) {
            Some(index) => index + 1,
            None => {
                inspected.params.push(value.clone());
                inspected.params.len()
            }
        };
        let before = sql.get(copied..begin).ok_or_else(lost)?;
        inspected.sql.push_str(before);
        inspected.sql.push_str(&format!("${number}"));
        typed.push_str(before);
        if is_asked_for_null(tokens.get(index + 2..).unwrap_or_default()) {
            typed.push_str("NULL");
            inspected.typed = Some(String::new());
        } else {
            typed.push_str(&format!("${number}"));
        }
        copied = end;
    }
    let rest = sql.get(copied..).ok_or_else(lost)?;
    inspected.sql.push_str(rest);
    typed.push_str(rest);
    inspected.typed = inspected.typed.map(|_| typed);
    Ok(inspected)
}

/// Whether `IS NULL` or `IS NOT NULL` follows.
fn is_asked_for_null(rest: &[TokenWithSpan]) -> bool {
    let mut words = rest.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let mut next = |wanted: &str| match words.next().map(|token| &token.token) {
        Some(Token::Word(word)) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    if !next("IS") {
        return false;
    }
    next("NULL") || next("NULL")
}

/// Where each line and column of a text is.
struct Places<'s> {
    sql: &'s str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'s> Places<'s> {
    fn of(sql: &'s str) -> Self {
        let ends = sql.match_indices('\n').map(|(at, _)| at + 1);
        Self { sql, lines: std::iter::once(0).chain(ends).collect() }
    }

    /// The byte offset of a place; lines and columns begin at 1, and a column is a character.
    fn offset(&self, at: Location) -> Option<usize> {
        let begin = *self.lines.get(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let line = self.sql.get(begin..)?;
        let column = usize::try_from(at.column).ok()?.checked_sub(1)?;
        let within = line.char_indices().map(|(at, _)| at).chain(std::iter::once(line.len())).nth(column)?;
        Some(begin + within)
    }
}

/// What is refused wherever it stands.
fn check_words(tokens: &[TokenWithSpan], writes: bool) -> Result<(), DataError> {
    let telling: Vec<&Token> = tokens
        .iter()
        .map(|token| &token.token)
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let word = |token: Option<&&Token>| match token {
        Some(Token::Word(word)) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        _ => None,
    };
    for (index, token) in telling.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| word(telling.get(before)));
        let next = telling.get(index + 1);
        if let Token::Word(name) = token
            && matches!(next, Some(Token::LParen))
        {
            check_function(&name.value)?;
        }
        if let Token::UnicodeStringLiteral(_) = token {
            return Err(refused(
                "texts are not written with `U&`; write the characters themselves".to_owned(),
            ));
        }
        if let Token::Word(name) = token
            && NAMING.contains(&bare(&name.value).as_str())
        {
            return Err(refused(format!(
                "it names the type `{}`, which tells which roles and tables there are",
                name.value
            )));
        }
        // The lexer does not read the escapes in `U&"…"`, so a name written so could be any name.
        if let Token::Ampersand = token
            && before.as_deref() == Some("U")
            && matches!(
                next,
                Some(Token::Word(Word { quote_style: Some(_), .. }) | Token::DoubleQuotedString(_))
            )
        {
            return Err(refused("names are not written with `U&`".to_owned()));
        }
        match word(Some(token)).as_deref() {
            // The parser keeps this name apart from those of other tables, so that nobody would look at it.
            Some("TABLE") => {
                return Err(refused("`TABLE name` is written `SELECT * FROM name`".to_owned()));
            }
            Some("INTO") if !matches!(before.as_deref(), Some("INSERT" | "MERGE")) => {
                return Err(refused("`SELECT … INTO` makes a table; leave `INTO` out".to_owned()));
            }
            Some("FOR")
                if !writes && matches!(word(next).as_deref(), Some("UPDATE" | "SHARE" | "NO" | "KEY")) =>
            {
                return Err(refused(
                    "it locks rows; say `writes = true` if that is meant, or leave the lock out".to_owned(),
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_function(name: &str) -> Result<(), DataError> {
    let name = name.to_lowercase();
    if name.starts_with("pg_") && !HARMLESS.contains(&name.as_str()) {
        return Err(refused(format!(
            "it calls `{name}`; of the server's `pg_` functions only {} are allowed",
            HARMLESS.join(", ")
        )));
    }
    let found = FORBIDDEN.iter().find(|(pattern, _)| match pattern.split_once('*') {
        Some((beginning, end)) => name.starts_with(beginning) && name.ends_with(end),
        None => name == *pattern,
    });
    match found {
        Some((_, why)) => Err(refused(format!("it calls `{name}`: {why}"))),
        None => Ok(()),
    }
}

/// What kind of statement it is, and which tables it names.
fn check_tree(sql: &str, writes: bool) -> Result<(), DataError> {
    let parsed = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEEPEST).try_with_sql(sql);
    let statements = parsed
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| DataError::Configuration(error.to_string()))?;
    let [statement] = statements.as_slice() else {
        return Err(refused("exactly one statement is allowed".to_owned()));
    };
    let kinds = visit_statements(statement, |part| match part {
        Statement::Query(_) => ControlFlow::Continue(()),
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_)
            if writes =>
        {
            ControlFlow::Continue(())
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => {
            ControlFlow::Break("it changes data; say `writes = true` if that is meant")
        }
        _ => ControlFlow::Break(
            "allowed are SELECT, VALUES, INSERT, UPDATE, DELETE and MERGE, with WITH before them or not",
        ),
    });
    if let ControlFlow::Break(why) = kinds {
        return Err(refused(why.to_owned()));
    }
    let tables = visit_relations(statement, |name| match in_catalogue(name) {
        true => ControlFlow::Break(name.to_string()),
        false => ControlFlow::Continue(()),
    });
    match tables {
        ControlFlow::Break(name) => Err(refused(format!(
            "it names `{name}`, a table of the server's catalogue, which is about all tenants"
        ))),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn in_catalogue(name: &ObjectName) -> bool {
    name.0.iter().any(|part| match part {
        ObjectNamePart::Identifier(word) => {
            let word = word.value.to_lowercase();
            word.starts_with("pg_") || word == "information_schema"
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
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
            "SELECT lo_get(lo_from_bytea(0, 'x'))",
            "SELECT loread(1, 2)",
            "SELECT pg_read_binary_file('/etc/passwd')",
            "SELECT dblink_connect('host=x')",
            "SELECT pg_notify('a', 'b')",
            "SELECT pg_terminate_backend(1)",
        ] {
            why(sql, false);
        }
        declared("SELECT pg_advisory_xact_lock(1)", false).expect("a lock that ends with the call");
        assert!(written("SELECT pg_advisory_xact_lock(1)", false).is_err(), "another tenant's key");
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
        declared("SELECT pg_typeof(1), has_paid, to_regular FROM tickets", false).expect("harmless");
        declared("SELECT pg_notify_count, set_configs FROM tickets", false).expect("columns, not calls");
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        why(&deep, false);
        why(&format!("SELECT '{}'", "x".repeat(LONGEST)), false);
        assert!(written("SELECT :a", false).is_err());
        assert!(written("SELECT 1", false).is_ok());
    }
}
