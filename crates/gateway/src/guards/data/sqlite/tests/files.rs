//! Files and migrations: private, unlinked, applied once, refused when they are not the tenant's own.

use std::os::unix::fs::symlink;

use super::*;
use crate::tenants::Registry;

const ALL: &str = "SELECT id, title FROM tickets";

async fn read(sources: &Arc<Sources>, tenant: &str) -> Result<Rows, DataError> {
    let statement = sources.compile("desk", ALL, &[], false).expect("compiles");
    run(sources, tenant, &statement, json!({})).await
}

#[tokio::test]
async fn files_and_folders_are_private() {
    let lab = Lab::new();
    fs::create_dir_all(lab.tenants().join("acme")).expect("a folder");
    let sources = lab.open();
    run(&sources, "acme", &insert(&sources), json!({"id": 1, "title": "x"})).await.expect("written");
    assert_eq!(mode_of(&lab.tenants().join("acme")), 0o700);
    for end in ["", "-wal", "-shm"] {
        let file = lab.tenants().join("acme").join(format!("desk.sqlite{end}"));
        assert_eq!(mode_of(&file), 0o600, "{end}");
    }
}

#[tokio::test]
async fn links_to_another_tenants_data_are_refused() {
    let lab = Lab::new();
    let sources = lab.open();
    run(&sources, "globex", &insert(&sources), json!({"id": 1, "title": "canary"})).await.expect("written");
    sources.forget(&tenant("globex"));
    let tenants = lab.tenants();
    // The folder.
    symlink(tenants.join("globex"), tenants.join("acme")).expect("linked");
    // The file.
    fs::create_dir(tenants.join("b")).expect("a folder");
    symlink(lab.file("globex"), lab.file("b")).expect("linked");
    // A link to nothing, which creating the file would fill.
    fs::create_dir(tenants.join("c")).expect("a folder");
    symlink(tenants.join("elsewhere"), lab.file("c")).expect("linked");
    // No file at all.
    fs::create_dir_all(lab.file("d")).expect("a folder");
    // A second name.
    fs::create_dir(tenants.join("e")).expect("a folder");
    fs::hard_link(lab.file("globex"), lab.file("e")).expect("linked");
    for name in ["acme", "b", "c", "d", "e"] {
        let error = read(&sources, name).await.expect_err(name);
        assert!(matches!(error, DataError::Storage(_)), "{name}: {error:?}");
        let error = sources.setup(&tenant(name), Incarnation(1), "desk", "").expect_err(name);
        assert!(matches!(error, DataError::Storage(_)), "{name}: {error:?}");
    }
    assert!(!tenants.join("elsewhere").exists());
    fs::remove_file(lab.file("e")).expect("removed");
    read(&sources, "globex").await.expect("its owner reads it");
}

#[tokio::test]
async fn a_copy_of_another_tenants_file_is_refused() {
    let lab = Lab::new();
    let sources = lab.open();
    run(&sources, "globex", &insert(&sources), json!({"id": 1, "title": "canary"})).await.expect("written");
    read(&sources, "acme").await.expect("reads its own");
    sources.forget(&tenant("globex"));
    // Also while acme's file is open: the path leads to another file now.
    for end in ["-wal", "-shm"] {
        let _gone = fs::remove_file(lab.tenants().join("acme").join(format!("desk.sqlite{end}")));
    }
    fs::copy(lab.file("globex"), lab.dir.path().join("copy")).expect("copied");
    fs::rename(lab.dir.path().join("copy"), lab.file("acme")).expect("moved");
    let error = read(&sources, "acme").await.expect_err("refused");
    assert!(error.to_string().contains("another tenant"), "{error}");
    // A database that this server did not make is nobody's.
    fs::remove_file(lab.file("acme")).expect("removed");
    rusqlite::Connection::open(lab.file("acme")).expect("open").execute_batch(TICKETS).expect("made");
    let error = read(&sources, "acme").await.expect_err("refused");
    assert!(error.to_string().contains("not made by this server"), "{error}");
}

#[tokio::test]
async fn a_damaged_file_hurts_its_tenant_only() {
    let lab = Lab::new();
    let sources = lab.open();
    for name in ["acme", "globex", "third"] {
        for id in 0..50 {
            let given = json!({"id": id, "title": "x".repeat(3000)});
            run(&sources, name, &insert(&sources), given).await.expect("written");
        }
        sources.forget(&tenant(name));
    }
    let size = fs::metadata(lab.file("acme")).expect("there").len();
    fs::File::options().write(true).open(lab.file("acme")).expect("open").set_len(size / 2).expect("cut");
    fs::write(lab.file("third"), "this is no database, whatever its name says".repeat(200)).expect("written");
    for name in ["acme", "third"] {
        let error = read(&sources, name).await.expect_err(name);
        assert_eq!(error, DataError::Corrupt, "{name}");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(read(&sources, "globex").await.expect("reads").count, 50);
}

#[test]
fn concurrent_first_uses_migrate_once() {
    let lab = Lab::new();
    lab.migration("002_marker.sql", "INSERT INTO customers (name) VALUES ('marker');");
    let instances = [lab.open(), lab.open()];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (sources, handle) = (&instances[n % 2], runtime.handle().clone());
            scope.spawn(move || {
                for name in ["acme", "globex", "third"] {
                    let count = handle.block_on(rows(sources, name, "SELECT count(*) AS n FROM customers"));
                    assert_eq!(count, json!([{"n": 1}]));
                }
            });
        }
    });
    let raw = rusqlite::Connection::open(lab.file("acme")).expect("open");
    let applied: i64 =
        raw.query_row("SELECT count(*) FROM _partywall_migrations", [], |row| row.get(0)).expect("counted");
    assert_eq!(applied, 2);
}

/// One file that was restored from another release is its tenant's trouble, whatever its tenant is called; when all disagree, the
/// migrations are wrong.
#[test]
fn one_file_that_disagrees_does_not_stop_the_others() {
    let lab = Lab::new();
    let life = Incarnation(1);
    let ids = ["acme", "globex"].map(tenant);
    for id in &ids {
        lab.open().setup(id, life, "desk", "").expect("made");
    }
    let agree = || lab.open().agree(ids.iter().map(|id| (id, life)));
    let change = |id: &str| {
        let raw = rusqlite::Connection::open(lab.file(id)).expect("open");
        raw.execute("UPDATE _partywall_migrations SET sha256 = 'another'", []).expect("changed");
    };
    agree().expect("all agree");
    change("acme");
    agree().expect("the other agrees");
    change("globex");
    agree().expect_err("nobody would be served");
}

#[tokio::test]
async fn a_new_migration_reaches_old_tenants_and_a_changed_one_stops_its_tenant() {
    let lab = Lab::new();
    run(&lab.open(), "acme", &insert(&lab.open()), json!({"id": 1, "title": "x"})).await.expect("written");
    lab.migration("002_more.sql", "ALTER TABLE tickets ADD COLUMN more TEXT NOT NULL DEFAULT 'm';");
    let more = rows(&lab.open(), "acme", "SELECT id, more FROM tickets").await;
    assert_eq!(more, json!([{"id": 1, "more": "m"}]));

    let before = fs::read(lab.file("acme")).expect("read");
    lab.migration("001_tickets.sql", &format!("{TICKETS} -- changed"));
    lab.migration("003_never.sql", "DROP TABLE tickets;");
    lab.migration(
        "004_again.sql",
        TICKETS
            .split("CREATE VIEW")
            .next()
            .expect("a part")
            .split("CREATE TABLE tickets")
            .last()
            .map(|rest| format!("CREATE TABLE tickets{rest}"))
            .expect("a part")
            .as_str(),
    );
    let sources = lab.open();
    let error = read(&sources, "acme").await.expect_err("refused");
    let text = error.to_string();
    assert!(text.contains("001_tickets") && text.contains("acme") && text.contains("changed"), "{text}");
    assert_eq!(before, fs::read(lab.file("acme")).expect("read"));
    // A tenant that never had the old text is served.
    read(&sources, "globex").await.expect("reads");

    lab.migration("001_tickets.sql", TICKETS);
    fs::remove_file(lab.dir.path().join("migrations/003_never.sql")).expect("removed");
    fs::remove_file(lab.dir.path().join("migrations/004_again.sql")).expect("removed");
    read(&lab.open(), "acme").await.expect("the old text is served again");
    fs::remove_file(lab.dir.path().join("migrations/002_more.sql")).expect("removed");
    let error = read(&lab.open(), "acme").await.expect_err("refused");
    assert!(error.to_string().contains("not in the folder"), "{error}");
}

#[tokio::test]
async fn a_failing_migration_rolls_back_everything() {
    let lab = Lab::new();
    run(&lab.open(), "acme", &insert(&lab.open()), json!({"id": 1, "title": "twice"}))
        .await
        .expect("written");
    run(&lab.open(), "acme", &insert(&lab.open()), json!({"id": 2, "title": "twice"}))
        .await
        .expect("written");
    // Sound on an empty database, and for any tenant without duplicates.
    lab.migration(
        "002_add.sql",
        "CREATE TABLE added (a); INSERT INTO tickets (id, title) VALUES (3, 'third');",
    );
    lab.migration("003_unique.sql", "CREATE UNIQUE INDEX one_title ON tickets (title);");
    let sources = lab.open();
    let error = read(&sources, "acme").await.expect_err("fails");
    assert!(error.to_string().contains("003_unique"), "{error}");
    assert_eq!(read(&sources, "globex").await.expect("another tenant is served").count, 1);
    for gone in ["002_add.sql", "003_unique.sql"] {
        fs::remove_file(lab.dir.path().join("migrations").join(gone)).expect("removed");
    }
    let left = rows(&lab.open(), "acme", ALL).await;
    assert_eq!(left, json!([{"id": 1, "title": "twice"}, {"id": 2, "title": "twice"}]));
}

#[tokio::test]
async fn rebuilding_a_table_keeps_the_rows_that_refer_to_it() {
    let lab = Lab::new();
    lab.migration(
        "002_notes.sql",
        "CREATE TABLE notes (customer INTEGER REFERENCES customers(id) ON DELETE CASCADE);",
    );
    let sources = lab.open();
    let seed = "INSERT INTO customers VALUES (1, 'a'); INSERT INTO notes VALUES (1);";
    for name in ["acme", "globex"] {
        sources.setup(&tenant(name), Incarnation(1), "desk", seed).expect("seeded");
    }
    let rebuild = "CREATE TABLE c2 (id INTEGER PRIMARY KEY, name TEXT NOT NULL, x);
        INSERT INTO c2 SELECT id, name, NULL FROM customers; DROP TABLE customers; ALTER TABLE c2 RENAME TO customers;";
    lab.migration("003_rebuild.sql", rebuild);
    let kept = rows(&lab.open(), "acme", "SELECT customer FROM notes").await;
    assert_eq!(kept, json!([{"customer": 1}]));
    lab.migration("003_rebuild.sql", &rebuild.replace("FROM customers", "FROM customers WHERE id > 1"));
    let error = read(&lab.open(), "globex").await.expect_err("refused");
    assert!(error.to_string().contains("missing rows"), "{error}");
}

/// A file that a late call makes would outlive its tenant, and keep the next one of the name from having its own.
#[tokio::test]
async fn files_are_made_for_a_life_that_lasts() {
    let lab = Lab::new();
    let data = lab.dir.path().join("data");
    let registry = Arc::new(Registry::open(&data).expect("a registry"));
    let sources = lab.open_with(&Outside { registry: Some(Arc::clone(&registry)), ..Outside::default() });
    let acme = tenant("acme");
    let (read, write) = (sources.compile("desk", ALL, &[], false).expect("compiles"), insert(&sources));
    let run = async |life: Incarnation| {
        let permit = Permit::for_test("acme", life.0);
        let read = sources.run(&permit, &read, &[], limits()).await.map(|rows| rows.count);
        let given = args(json!({ "id": 1, "title": "late" }));
        (read, sources.run(&permit, &write, &given, limits()).await.map(|rows| rows.count))
    };
    let refused = (Err(DataError::Ended), Err(DataError::Ended));
    let folder = lab.tenants().join("acme");
    let first = registry.add(&acme).expect("added").incarnation;
    registry.suspend(&acme).expect("suspended");
    assert_eq!(run(first).await, refused);
    // The operator may set up a tenant that is not served yet.
    sources.setup(&acme, first, "desk", "").expect("set up");
    registry.resume(&acme).expect("resumed");
    assert_eq!(run(first).await, (Ok(0), Ok(1)));
    let record = registry.begin_removal(&acme).expect("begun");
    // As the removal does, between its beginning and its end.
    fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(run(first).await, refused);
    assert_eq!(sources.setup(&acme, first, "desk", ""), Err(DataError::Ended));
    registry.finish_removal(&record.id).expect("finished");
    assert_eq!(run(first).await, refused);
    assert!(!folder.exists());
    let second = registry.add(&acme).expect("added again").incarnation;
    assert_eq!(run(first).await, refused);
    assert!(!folder.exists());
    assert_eq!(run(second).await, (Ok(0), Ok(1)), "the new life has its own");
}

#[test]
fn migration_folders_are_checked() {
    for (name, sql) in [
        ("003_gap.sql", "SELECT 1"),
        ("001_twice.sql", "SELECT 1"),
        ("000_zero.sql", "SELECT 1"),
        ("two.sql", "SELECT 1"),
        ("002.sql", "SELECT 1"),
        ("002_.sql", "SELECT 1"),
        ("002_a b.sql", "SELECT 1"),
        ("002_wrong.sql", "CREATE TABEL x"),
        ("002_large.sql", &"-".repeat(2 << 20)),
    ] {
        let lab = Lab::new();
        lab.migration(name, sql);
        let error = lab.try_open().expect_err(name);
        assert!(matches!(error, DataError::Configuration(_)), "{name}: {error:?}");
    }
    let lab = Lab::new();
    lab.migration("README.md", "notes");
    lab.migration("2_other.sql", "CREATE TABLE other (a)");
    lab.try_open().expect("accepted");
    for name in ["\"../x\"", "Desk", "\"\"", "1a", "\"a.b\""] {
        // Either the configuration refuses the name, or the sources do.
        let text = format!("[data.{name}]\ndriver = \"sqlite\"");
        let Ok(config) = Config::parse(&text, "p.toml", lab.dir.path()) else {
            continue;
        };
        assert!(Sources::new(&config, &Outside::default()).is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_seed_runs_once_and_changes_rows_only() {
    let lab = Lab::new();
    let sources = lab.open();
    let acme = tenant("acme");
    let setup = |sql: &str| sources.setup(&acme, Incarnation(1), "desk", sql);
    for bad in [
        "INSERT INTO tickets (id, title) VALUES (1, 'a'); INSERT INTO tickets (id, title) VALUES (1, 'b')",
        "INSERT INTO tickets (id, title) VALUES (1, 'a'); DROP TABLE log",
        "INSERT INTO tickets (id, title) VALUES (1, 'a'); COMMIT",
        "ATTACH ':memory:' AS b",
        "UPDATE _partywall_owner SET tenant = 'b'",
        "INSERT INTO tickets (id, title) VALUES (1, 'a');\0",
    ] {
        assert!(setup(bad).is_err(), "{bad}");
    }
    assert_eq!(read(&sources, "acme").await.expect("reads").count, 0);
    let seed =
        "INSERT INTO tickets (id, title) VALUES (1, 'hot'); INSERT INTO tickets (id, title) VALUES (2, 'b');";
    setup(seed).expect("seeded");
    setup(seed).expect("again");
    setup("INSERT INTO tickets (id, title) VALUES (3, 'c')").expect("nothing to do");
    assert_eq!(read(&sources, "acme").await.expect("reads").count, 2);
}
