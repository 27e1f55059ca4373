//! What is read of migrations and queries, and that nothing can upset the reader.

use super::*;

fn all(text: &str) -> Vec<Change> {
    changes(text).changes.into_iter().map(|placed| placed.change).collect()
}

fn query(text: &str) -> Parsed {
    read_query(&[Piece::Text(text)]).unwrap()
}

#[test]
fn a_table_has_its_columns_and_references() {
    let found = all("CREATE TABLE IF NOT EXISTS public.\"Docs\" (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant_id uuid NOT NULL REFERENCES tenants(id) ON DELETE CASCADE,
            body text CHECK (length(body) < 10),
            key text,
            CONSTRAINT fk FOREIGN KEY (parent, body) REFERENCES app.parents (id, b),
            UNIQUE (tenant_id, id)
        );");
    let Change::CreateTable {
        table, columns, if_not_exists: true, temporary: false, partition_of: None, ..
    } = &found[0]
    else {
        panic!("{found:?}")
    };
    assert_eq!(table.to_string(), "public.Docs");
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "tenant_id", "body", "key"]);
    assert!(!columns[1].nullable && columns[2].nullable);
    assert_eq!(columns[1].references, Some(Name::bare("tenants")));
    let Change::AddReference { columns, references, .. } = &found[1] else { panic!("{found:?}") };
    assert_eq!(
        (columns.join(","), references.to_string()),
        ("parent,body".to_owned(), "app.parents".to_owned())
    );
}

#[test]
fn tables_change() {
    let found = all(
        "ALTER TABLE ONLY a ADD COLUMN IF NOT EXISTS org_id int NOT NULL, DROP COLUMN b, ENABLE ROW LEVEL SECURITY;
         ALTER TABLE a FORCE ROW LEVEL SECURITY; ALTER TABLE a RENAME TO b; ALTER TABLE b RENAME COLUMN x TO y;
         ALTER TABLE b ADD CONSTRAINT c FOREIGN KEY (o) REFERENCES orgs; DROP TABLE IF EXISTS b, c CASCADE;",
    );
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(
        matches!(&found[0], Change::AddColumn { column, .. } if column.name == "org_id" && !column.nullable)
    );
    assert!(matches!(&found[1], Change::DropColumn { column, .. } if column == "b"));
    assert!(matches!(&found[2], Change::RowSecurity { change: RowSecurity::Enable, .. }));
    assert!(matches!(&found[3], Change::RowSecurity { change: RowSecurity::Force, .. }));
    assert!(matches!(&found[4], Change::Rename { to, .. } if to.name == "b"));
    assert!(matches!(&found[5], Change::RenameColumn { column, to, .. } if column == "x" && to == "y"));
    assert!(matches!(&found[6], Change::AddReference { references, .. } if references.name == "orgs"));
    assert!(matches!(&found[7], Change::Drop(names) if names.len() == 2));
}

#[test]
fn a_policy_says_for_whom_and_what() {
    let found =
        all("CREATE POLICY \"own rows\" ON public.docs AS RESTRICTIVE FOR UPDATE TO app, authenticated
           USING (tenant_id = current_setting('app.tenant')::uuid) WITH CHECK (true);
         DROP POLICY IF EXISTS p ON docs;");
    let Change::CreatePolicy(policy) = &found[0] else { panic!("{found:?}") };
    assert_eq!(policy.name, "own rows");
    assert!(!policy.permissive);
    assert_eq!(policy.command, Command::Update);
    assert_eq!(policy.roles, ["app", "authenticated"]);
    assert!(policy.using.as_ref().unwrap().asks_caller);
    assert!(policy.check.as_ref().unwrap().always);
    assert!(matches!(&found[1], Change::DropPolicy { name, .. } if name == "p"));
}

#[test]
fn a_condition_is_judged_by_what_it_asks() {
    for text in ["true", "(true)", "1 = 1", "(( TRUE ))", "(select true)"] {
        assert!(condition(text).always, "{text}");
    }
    for text in [
        "tenant_id = current_setting('app.tenant')",
        "user_id = auth.uid()",
        "owner = current_user",
        "exists (select 1 from members m where m.org = org_id)",
        "org_id in (select my_orgs())",
    ] {
        assert!(condition(text).asks_caller, "{text}");
    }
    for text in ["is_active", "deleted_at is null and created_at < now()", "lower(name) = 'x'"] {
        assert!(!condition(text).asks_caller, "{text}");
    }
}

#[test]
fn a_condition_that_holds_without_a_caller_is_seen() {
    for text in [
        "current_setting('app.tenant', true) is null or tenant_id = current_setting('app.tenant', true)",
        "(tenant_id = current_setting('app.tenant', true)) or (current_setting('app.tenant', true) = '')",
        "tenant_id = coalesce(current_setting('app.tenant', true), tenant_id)",
        "nullif(current_setting('app.t', true), '') is null or t = 1",
        "auth.uid() is null or user_id = auth.uid()",
    ] {
        assert!(condition(text).fails_open, "{text}");
    }
    for text in [
        "tenant_id = current_setting('app.tenant', true)",
        "tenant_id = coalesce(current_setting('app.tenant', true), '')",
        "tenant_id = nullif(current_setting('app.tenant', true), '')::uuid",
        "tenant_id is null or tenant_id = current_setting('app.tenant')",
        "(current_setting('app.tenant', true) is null and is_public) or tenant_id = current_setting('app.tenant')",
        "auth.uid() = user_id or is_public = true",
    ] {
        assert!(!condition(text).fails_open, "{text}");
    }
}

#[test]
fn views_functions_and_grants_say_whose_rights_they_use() {
    let found = all(
        "CREATE OR REPLACE VIEW v WITH (security_invoker = true) AS SELECT * FROM docs d JOIN orgs o ON o.id = d.o;
         CREATE VIEW w AS SELECT * FROM docs; ALTER VIEW w SET (security_invoker = on);
         CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$ SELECT 1 FROM docs $$;
         CREATE FUNCTION g() RETURNS void AS $$ BEGIN PERFORM set_config('app.tenant', 'x', false); END $$ LANGUAGE plpgsql;
         GRANT SELECT, TRUNCATE ON TABLE docs, orgs TO anon, app; GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
         GRANT EXECUTE ON FUNCTION f(int) TO app; GRANT USAGE ON SCHEMA public TO app; REVOKE ALL ON docs FROM anon;",
    );
    assert_eq!(found.len(), 8, "{found:#?}");
    assert!(matches!(&found[0], Change::CreateView { invoker: true, reads, .. } if reads.len() == 2));
    assert!(matches!(&found[1], Change::CreateView { invoker: false, .. }));
    assert!(matches!(&found[2], Change::AlterView { invoker: true, .. }));
    assert!(
        matches!(&found[3], Change::CreateFunction { definer: true, search_path: true, touches, .. } if touches == &[Name::bare("docs")])
    );
    assert!(matches!(&found[4], Change::CreateFunction { sets: Some(sets), .. } if sets == "app.tenant"));
    assert!(
        matches!(&found[5], Change::Grant { privileges, tables, roles, .. } if privileges == &["select", "truncate"] && tables.len() == 2 && roles == &["anon", "app"])
    );
    assert!(matches!(&found[6], Change::Grant { schema: Some(schema), .. } if schema == "public"));
    assert!(matches!(&found[7], Change::Revoke { .. }));
}

#[test]
fn blocks_change_tables_by_name_and_by_list() {
    let found = all("DO $$ DECLARE t text; BEGIN
           FOREACH t IN ARRAY ARRAY['docs','app.orgs'] LOOP
             EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
           END LOOP;
           IF NOT EXISTS (SELECT 1) THEN CREATE POLICY p ON docs USING (true); END IF;
         END $$;");
    assert!(
        matches!(&found[0], Change::Dynamic { tables, policies: false } if tables == &["docs", "orgs"]),
        "{found:?}"
    );
    assert!(matches!(&found[1], Change::CreatePolicy(policy) if policy.name == "p"));
}

#[test]
fn a_session_setting_is_one_that_outlives_the_transaction() {
    for text in [
        "SET app.tenant = 'x'",
        "SET SESSION app.tenant TO 'x'",
        "SET \"app.tenant\" = 'x'",
        "SELECT set_config('app.tenant', 'x', false)",
    ] {
        assert!(
            matches!(&all(text)[..], [Change::SetSession { setting }] if setting == "app.tenant"),
            "{text}"
        );
    }
    for text in [
        "SET LOCAL app.tenant = 'x'",
        "SELECT set_config('app.tenant', 'x', true)",
        "SET search_path = public",
        "RESET app.tenant",
    ] {
        assert!(all(text).is_empty(), "{text}");
    }
    assert_eq!(
        query("SELECT set_config('app.tenant', $1, false)").session_setting.as_deref(),
        Some("app.tenant")
    );
}

fn required(text: &str) -> Vec<String> {
    let parsed = query(text);
    assert!(parsed.exact, "{text}");
    parsed
        .blocks
        .iter()
        .map(|block| {
            let mut names: Vec<&str> = block
                .tests
                .iter()
                .filter(|test| test.required && test.equal)
                .map(|test| test.column.as_str())
                .collect();
            names.sort_unstable();
            names.dedup();
            names.join(",")
        })
        .collect()
}

#[test]
fn only_what_every_row_has_to_pass_is_required() {
    assert_eq!(required("SELECT * FROM d WHERE id = $1 AND tenant_id = $2"), ["id,tenant_id"]);
    assert_eq!(required("SELECT * FROM d WHERE id = ? OR tenant_id = ?"), [""]);
    assert_eq!(required("SELECT * FROM d WHERE (:t IS NULL OR tenant_id = :t) AND id = :i"), ["id"]);
    assert_eq!(
        required("SELECT * FROM d WHERE (a = 1 AND tenant_id = $1) OR (b = 2 AND tenant_id = $1)"),
        ["tenant_id"]
    );
    assert_eq!(required("DELETE FROM d WHERE lower(email) = lower(%s)"), ["email"]);
    assert_eq!(required("UPDATE d SET tenant_id = $1 WHERE id = $2"), ["id"]);
    assert_eq!(required("SELECT 1 FROM d WHERE tenant_id LIKE $1 AND id IN ($2, $3)"), ["id"]);
    assert_eq!(
        required("SELECT 1 FROM d WHERE id = ANY($1) UNION SELECT 1 FROM e WHERE org_id = $2"),
        ["id", "org_id"]
    );
}

#[test]
fn each_part_of_a_query_is_a_block_with_its_own_tables() {
    let parsed = query(
        "WITH mine AS (SELECT * FROM docs WHERE tenant_id = $1)
         SELECT m.*, (SELECT count(*) FROM notes) FROM mine m JOIN users u ON u.id = m.owner
         WHERE EXISTS (SELECT 1 FROM members x WHERE x.org = u.org AND x.who = $2)",
    );
    let tables: Vec<String> = parsed
        .blocks
        .iter()
        .map(|block| {
            block
                .tables
                .iter()
                .filter_map(|t| t.name.as_ref().map(|n| n.name.clone()))
                .collect::<Vec<_>>()
                .join(",")
        })
        .collect();
    assert_eq!(tables, ["docs", "users", "members", "notes"]);
    assert!(parsed.blocks[2].decides);
    assert_eq!(parsed.blocks[2].parent, Some(1));
}

#[test]
fn values_say_where_they_come_from() {
    let pieces = [
        Piece::Text("SELECT * FROM d WHERE a = "),
        Piece::Hole,
        Piece::Text(" AND b = '"),
        Piece::Hole,
        Piece::Text("' AND c = current_setting('app.t')::uuid AND e = 'x' AND f = $3"),
    ];
    let parsed = read_query(&pieces).unwrap();
    let values: Vec<&Value> = parsed.blocks[0].tests.iter().map(|test| &test.value).collect();
    assert_eq!(
        values,
        [
            &Value::Placeholder(Placeholder::Hole(0)),
            &Value::Placeholder(Placeholder::Hole(1)),
            &Value::Setting("app.t".to_owned()),
            &Value::Literal("x".to_owned()),
            &Value::Placeholder(Placeholder::Position(2)),
        ]
    );
}

#[test]
fn writes_have_columns_and_values() {
    let parsed = query(
        "INSERT INTO d (id, tenant_id) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
    );
    assert_eq!(parsed.blocks[0].verb, Verb::Insert);
    assert_eq!(
        parsed.blocks[0].writes[1],
        ("tenant_id".to_owned(), Value::Placeholder(Placeholder::Position(1)))
    );
    assert_eq!(parsed.blocks[0].conflict, Some(vec!["id".to_owned()]));
}

#[test]
fn a_condition_that_is_put_in_is_open() {
    for pieces in [
        vec![Piece::Text("SELECT * FROM d WHERE "), Piece::Hole],
        vec![Piece::Text("SELECT * FROM d "), Piece::Hole, Piece::Text(" ORDER BY a")],
        vec![Piece::Text("SELECT * FROM d WHERE a = 1 "), Piece::Hole],
    ] {
        assert_eq!(read_query(&pieces).unwrap().blocks[0].open, [Placeholder::Hole(0)], "{pieces:?}");
    }
    let table =
        read_query(&[Piece::Text("SELECT * FROM "), Piece::Hole, Piece::Text(" WHERE id = ?")]).unwrap();
    assert_eq!(table.blocks[0].tables[0].name, None);
}

#[test]
fn what_no_grammar_accepts_is_guessed() {
    let parsed = query("SELECT * FROM docs d WHERE d.tenant_id = $1 AND @@@ weird ((");
    assert!(!parsed.exact);
    assert_eq!(parsed.blocks[0].tables[0].name, Some(Name::bare("docs")));
    assert!(parsed.blocks[0].tests.iter().any(|test| test.column == "tenant_id" && test.required));
}

#[test]
fn what_is_no_query_is_nothing() {
    for text in [
        "",
        "hello world",
        "select something nice",
        "update me",
        "from here",
        ";;;",
        "CREATE TABLE a (b int)",
    ] {
        let found = read_query(&[Piece::Text(text)]);
        assert!(
            found
                .as_ref()
                .is_none_or(|found| found.blocks.iter().all(|b| b.tables.is_empty() || !found.exact)),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn nothing_upsets_the_reader() {
    let deep = format!("SELECT {}1{} FROM a", "(".repeat(10_000), ")".repeat(10_000));
    let wide = format!("SELECT * FROM a WHERE {}", vec!["x = 1"; 20_000].join(" AND "));
    let unions = vec!["SELECT 1 FROM a"; 2_000].join(" UNION ");
    let quotes = "'".repeat(9_999);
    let dollars = "$".repeat(9_999);
    for text in [
        deep.as_str(),
        &wide,
        &unions,
        &quotes,
        &dollars,
        "CREATE TABLE",
        "CREATE TABLE a (",
        "ALTER TABLE a ADD",
        "GRANT ON TO",
        "CREATE POLICY p ON",
        "\u{0}\u{ffff}",
    ] {
        let _changes = changes(text);
        let _query = read_query(&[Piece::Text(text)]);
    }
}

#[test]
fn sentences_are_no_queries_and_their_like_are() {
    for text in [
        "Update an existing task in ClickUp.",
        "Update Page",
        "Update an issue and set its status",
        "Delete a page",
        "Delete a customer from Chargebee. This will also delete all subscriptions",
        "Delete from the list",
        "Insert a row at the end",
        "Insert text into the document",
        "Select the best option from the list",
        "With this tool, select a project from your workspace",
        "Select all items from a board.",
    ] {
        assert!(read_query(&[Piece::Text(text)]).is_none(), "{text}");
    }
    for text in [
        "update tasks set state = 'x'",
        "UPDATE tasks t JOIN lists l ON l.id = t.list SET t.state = 'x'",
        "delete from tasks",
        "DELETE t FROM tasks t WHERE t.id = 1",
        "insert into tasks (a) values (1)",
        "INSERT OR IGNORE INTO tasks SELECT * FROM others",
        "select id from list",
        "WITH a AS (SELECT 1 FROM b) SELECT * FROM a",
        "(SELECT id FROM tasks)",
    ] {
        assert!(read_query(&[Piece::Text(text)]).is_some_and(|found| !found.blocks.is_empty()), "{text}");
    }
    for pieces in [
        [Piece::Text("UPDATE tasks SET "), Piece::Hole],
        [Piece::Text("DELETE FROM tasks WHERE "), Piece::Hole],
    ] {
        assert!(read_query(&pieces).is_some_and(|found| !found.blocks.is_empty()), "{pieces:?}");
    }
}
