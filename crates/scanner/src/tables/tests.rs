//! What migrations add up to.

use super::*;
use crate::lang::sql::changes;

pub(crate) fn schema(files: &[(&str, &str)]) -> Schema {
    let mut replay = Replay::default();
    let mut files = files.to_vec();
    files.sort_by(|a, b| compare(a.0, b.0));
    for (path, text) in files {
        replay.apply(path, &changes(text));
    }
    replay.finish()
}

#[test]
fn the_last_migration_has_the_last_word() {
    let found = schema(&[
        ("m/2.sql", "ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON docs USING (true);"),
        ("m/1.sql", "CREATE TABLE docs (id int, tenant_id int NOT NULL);"),
        (
            "m/10.sql",
            "ALTER TABLE docs DISABLE ROW LEVEL SECURITY; DROP POLICY p ON docs; ALTER TABLE docs RENAME TO files;",
        ),
    ]);
    assert_eq!(found.tables.keys().collect::<Vec<_>>(), ["files"]);
    let table = &found.tables["files"];
    assert!(!table.enabled && table.policies.is_empty());
    assert_eq!((table.place.path.as_ref(), table.place.line), ("m/1.sql", 1));
}

#[test]
fn loops_over_names_enable_them_and_loops_over_the_catalogue_say_nothing() {
    let create = "CREATE TABLE a (tenant_id int); CREATE TABLE b (tenant_id int);";
    let named = "DO $$ BEGIN FOREACH t IN ARRAY ARRAY['a'] LOOP EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t); END LOOP; END $$;";
    let found = schema(&[("1.sql", named), ("2.sql", create)]);
    assert!(found.tables["a"].enabled && !found.tables["b"].enabled && !found.dynamic);
    let all = "DO $$ BEGIN FOR t IN SELECT tablename FROM pg_tables LOOP EXECUTE 'ALTER TABLE ' || t || ' ENABLE ROW LEVEL SECURITY'; END LOOP; END $$;";
    assert!(schema(&[("1.sql", create), ("2.sql", all)]).dynamic);
    let procedure = |does: &str| {
        format!(
            "CREATE PROCEDURE secure() LANGUAGE plpgsql AS $$ BEGIN FOR t IN SELECT tablename FROM pg_tables LOOP EXECUTE format('ALTER TABLE %I {does} ROW LEVEL SECURITY', t); END LOOP; END $$; CALL secure();"
        )
    };
    assert!(schema(&[("1.sql", create), ("2.sql", &procedure("ENABLE"))]).dynamic);
    assert!(!schema(&[("1.sql", create), ("2.sql", &procedure("DISABLE"))]).dynamic);
}

fn owner_of(text: &str, table: &str) -> Option<(String, Level)> {
    schema(&[("1.sql", text)]).tables[table].owner.clone().map(|owner| (owner.column, owner.level))
}

#[test]
fn rows_belong_to_the_largest_owner_that_is_named() {
    let own = |text: &str| owner_of(text, "t");
    assert_eq!(own("CREATE TABLE t (user_id int, org_id int)"), Some(("org_id".to_owned(), Level::Tenant)));
    assert_eq!(own("CREATE TABLE t (id int, \"userId\" int)"), Some(("userId".to_owned(), Level::User)));
    assert_eq!(
        own("CREATE TABLE t (\"organizationId\" text)"),
        Some(("organizationId".to_owned(), Level::Tenant))
    );
    assert_eq!(own("CREATE TABLE t (id int, name text, user_agent text, account text, team text)"), None);
    assert_eq!(
        own("CREATE TABLE t (id int, belongs int REFERENCES workspaces(id))"),
        Some(("belongs".to_owned(), Level::Tenant))
    );
    assert_eq!(own("CREATE TABLE t (id int, reviewer int REFERENCES users(id))"), None);
}

#[test]
fn rows_belong_to_the_owner_of_what_they_refer_to() {
    let text = "CREATE TABLE chats (id int, tenant_id int NOT NULL);
        CREATE TABLE messages (id int, chat_id int NOT NULL REFERENCES chats(id));
        CREATE TABLE parts (id int, message_id int NOT NULL); ALTER TABLE parts ADD FOREIGN KEY (message_id) REFERENCES messages;
        CREATE TABLE countries (id int, name text);";
    assert_eq!(owner_of(text, "parts"), Some(("message_id".to_owned(), Level::Tenant)));
    assert_eq!(owner_of(text, "countries"), None);
    assert_eq!(owner_of("CREATE TABLE tenants (id uuid)", "tenants"), Some(("id".to_owned(), Level::Tenant)));
}

#[test]
fn names_are_found_with_and_without_their_schema() {
    let found = schema(&[(
        "1.sql",
        "CREATE TABLE public.a (id int); CREATE TABLE app.b (id int); CREATE TABLE x.c (id int); CREATE TABLE y.c (id int);",
    )]);
    assert!(found.table(&Name::bare("a")).is_some());
    assert!(found.table(&Name::bare("b")).is_some());
    assert!(found.table(&Name::bare("c")).is_none(), "two tables have this name");
    assert!(found.table(&Name { schema: Some("z".to_owned()), name: "b".to_owned() }).is_none());
}

/// The words for tenants of a project with these migrations and these names in its code.
fn parties(sql: &str, names: &[&str]) -> Vec<String> {
    let mut replay = Replay::default();
    replay.apply("1.sql", &changes(sql));
    replay.words(names.iter().copied())
}

#[test]
fn a_project_says_what_its_tenants_are() {
    let tables = "CREATE TABLE halls (id int, gym_id int); CREATE TABLE visits (id int, gym_id int); CREATE TABLE bills (id int, gym_id int);";
    // A header of each request is enough; names that ask for the current one want users who are in one.
    assert_eq!(parties(tables, &["X-Gym-ID"]), ["gym"]);
    assert!(parties(tables, &["get_current_gym"]).is_empty());
    let joined = format!("{tables} CREATE TABLE user_gyms (user_id int, gym_id int, role text);");
    assert_eq!(parties(&joined, &["get_current_gym"]), ["gym"]);
    assert_eq!(parties(&joined, &["verifyGymAccess"]), ["gym"]);
    assert!(parties(&joined, &["gymnastics", "gym_name"]).is_empty());
    // Without such names most tables have to have it, and users too.
    let users = format!("{tables} CREATE TABLE users (id int, gym_id int); CREATE TABLE gyms (id int);");
    assert_eq!(parties(&users, &[]), ["gym"]);
    let others: String = (0..9).map(|n| format!("CREATE TABLE other{n} (id int);")).collect();
    assert!(parties(&format!("{users} {others}"), &[]).is_empty());
}

#[test]
fn parts_of_tenants_and_things_are_no_tenants() {
    let parts = "CREATE TABLE a (gym_id int, tenant_id int); CREATE TABLE b (gym_id int, tenant_id int); CREATE TABLE c (gym_id int, tenant_id int);";
    assert!(parties(parts, &["X-Gym-ID"]).is_empty());
    let things =
        "CREATE TABLE a (order_id int); CREATE TABLE b (order_id int); CREATE TABLE c (order_id int);";
    assert!(parties(things, &["X-Order-ID", "current_order"]).is_empty());
    assert!(parties("CREATE TABLE a (gym_id int); CREATE TABLE b (gym_id int);", &["X-Gym-ID"]).is_empty());
}

#[test]
fn words_of_one_project_are_not_those_of_the_next() {
    let own = crate::vocabulary::own::take(vec!["gym".to_owned()], false);
    assert!(crate::vocabulary::is_tenant("gymId") && level_of_column("gym_id") == Some(Level::Tenant));
    assert!(level_of_column("gym").is_none() && level_of_table("gyms") == Some(Level::Tenant));
    drop(own);
    assert!(!crate::vocabulary::is_tenant("gymId") && level_of_column("gym_id").is_none());
}
