//! The registry as two processes see it, and what it refuses.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use secrecy::SecretString;
use tempfile::TempDir;

use super::*;
use crate::guards::credentials::{MasterKey, SecretName, Vault};

fn id(text: &str) -> TenantId {
    TenantId::parse(text).expect("a tenant id")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(dir: &TempDir) -> Registry {
    Registry::open(dir.path()).expect("a registry")
}

fn vault(dir: &TempDir) -> Vault {
    let master = MasterKey::load_or_create(dir.path()).expect("a master key");
    Vault::open(dir.path(), master).expect("a vault")
}

#[test]
fn a_tenants_life() {
    let dir = folder();
    let registry = open(&dir);
    let acme = id("acme");
    assert!(registry.is_empty().expect("readable"));
    assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown));

    let added = registry.add(&acme).expect("added");
    assert_eq!(
        (added.id.clone(), added.state),
        (acme.clone(), TenantState::Active)
    );
    assert_eq!(registry.active(&acme), Ok(added.incarnation));
    assert_eq!(registry.get(&acme).expect("readable"), Some(added.clone()));
    assert_eq!(registry.list().expect("readable"), [added.clone()]);
    assert!(matches!(
        registry.add(&acme),
        Err(RegistryError::AlreadyExists(_))
    ));

    assert_eq!(
        registry.suspend(&acme).expect("suspended").state,
        TenantState::Suspended
    );
    assert_eq!(registry.active(&acme), Err(TenantDenial::Suspended));
    assert_eq!(
        registry.suspend(&acme).expect("again").state,
        TenantState::Suspended
    );
    assert_eq!(
        registry.resume(&acme).expect("resumed").state,
        TenantState::Active
    );
    assert_eq!(registry.active(&acme), Ok(added.incarnation));

    assert!(matches!(
        registry.finish_removal(&acme),
        Err(RegistryError::NotBeingRemoved(_))
    ));
    assert_eq!(
        registry.begin_removal(&acme).expect("begun").state,
        TenantState::Removing
    );
    assert_eq!(registry.active(&acme), Err(TenantDenial::Removed));
    assert!(matches!(
        registry.resume(&acme),
        Err(RegistryError::BeingRemoved(_))
    ));
    assert!(matches!(
        registry.suspend(&acme),
        Err(RegistryError::BeingRemoved(_))
    ));
    let refused = registry.add(&acme).expect_err("still being removed").to_string();
    assert!(refused.contains("partywall tenant remove acme"), "{refused}");

    registry.finish_removal(&acme).expect("finished");
    registry.finish_removal(&acme).expect("finished again");
    assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown));
    assert!(matches!(
        registry.begin_removal(&acme),
        Err(RegistryError::NotFound(_))
    ));

    let again = registry.add(&acme).expect("added again");
    assert!(again.incarnation > added.incarnation);
    assert_eq!(registry.active(&acme), Ok(again.incarnation));
}

#[test]
fn incarnations_do_not_repeat_even_when_the_registry_is_lost() {
    let dir = folder();
    let first = open(&dir).add(&id("acme")).expect("added").incarnation;
    fs::remove_file(dir.path().join("tenants.sqlite")).expect("deleted");
    let second = open(&dir).add(&id("acme")).expect("added").incarnation;
    assert!(second > first);
}

#[test]
fn twins_and_words_for_nobody_are_refused() {
    let dir = folder();
    let registry = open(&dir);
    registry.add(&id("Acme")).expect("added");
    for twin in ["acme", "ACME"] {
        assert!(
            matches!(registry.add(&id(twin)), Err(RegistryError::CaseTwin { .. })),
            "{twin}"
        );
        assert_eq!(registry.get(&id(twin)).expect("readable"), None);
        assert_eq!(registry.active(&id(twin)), Err(TenantDenial::Unknown));
        assert!(matches!(
            registry.suspend(&id(twin)),
            Err(RegistryError::NotFound(_))
        ));
        assert!(matches!(
            registry.begin_removal(&id(twin)),
            Err(RegistryError::NotFound(_))
        ));
        registry.finish_removal(&id(twin)).expect("nothing to do");
    }
    assert!(registry.active(&id("Acme")).is_ok());
    for word in ["default", "Default", "0"] {
        assert!(
            matches!(registry.add(&id(word)), Err(RegistryError::Reserved(_))),
            "{word}"
        );
    }
    assert!(TenantId::parse("*").is_err());
    for good in ["acme2", "default2", "00"] {
        registry.add(&id(good)).expect("added");
    }
}

#[test]
fn many_are_added_all_or_none() {
    let dir = folder();
    let registry = open(&dir);
    registry
        .add_many(&[id("a"), id("b"), id("A")])
        .expect_err("twins");
    assert_eq!(registry.len().expect("readable"), 0);
    registry.add_many(&[id("a"), id("b")]).expect("added");
    assert_eq!(registry.len().expect("readable"), 2);
}

#[test]
fn a_new_tenant_finds_no_files() {
    let dir = folder();
    let registry = open(&dir);
    let files = tenant_dir(dir.path(), &id("acme"));
    fs::create_dir_all(&files).expect("made");
    assert!(matches!(
        registry.add(&id("acme")),
        Err(RegistryError::LeftOver { .. })
    ));
    fs::remove_dir(&files).expect("deleted");
    registry.add(&id("acme")).expect("added");
}

#[test]
fn files_are_for_the_owner_only() {
    let dir = folder();
    let data = dir.path().join("deep").join("data");
    let registry = Registry::open(&data).expect("a registry");
    registry.add(&id("acme")).expect("added");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in fs::read_dir(&data).expect("readable") {
        let path = file.expect("readable").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let names: Vec<_> = fs::read_dir(&data)
        .expect("readable")
        .map(|file| file.expect("readable").file_name())
        .collect();
    assert!(
        names.iter().all(|name| !name.to_string_lossy().contains(".new")),
        "{names:?}"
    );
}

#[test]
fn settings_are_the_durable_ones() {
    let dir = folder();
    let registry = open(&dir);
    let pragma = |name: &str| {
        let ask = |tx: &rusqlite::Transaction<'_>| {
            let value = tx.pragma_query_value(None, name, |row| {
                Ok(match row.get_ref(0)? {
                    rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    other => other.as_i64()?.to_string(),
                })
            });
            Ok::<_, StoreError>(value.expect("a value"))
        };
        registry.store().read(ask).expect("readable")
    };
    assert_eq!(pragma("journal_mode"), "truncate");
    assert_eq!(pragma("synchronous"), "2");
    assert_eq!(pragma("secure_delete"), "1");
    assert_eq!(pragma("busy_timeout"), "5000");
}

/// Damages a registry in one way.
type Damage = fn(&Path);

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let damages: [(&str, Damage); 5] = [
        ("emptied", |path| fs::write(path, "").expect("written")),
        ("truncated", |path| {
            let bytes = fs::read(path).expect("readable");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
        }),
        ("garbage", |path| {
            fs::write(path, "x".repeat(20_000)).expect("written")
        }),
        ("foreign", |path| {
            fs::remove_file(path).expect("deleted");
            let other = Connection::open(path).expect("opened");
            other.execute_batch("CREATE TABLE t (x)").expect("made");
        }),
        ("unknown state", |path| {
            let conn = Connection::open(path).expect("opened");
            conn.execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE tenant SET state = 'x'")
                .expect("changed");
        }),
    ];
    for (what, damage) in damages {
        let dir = folder();
        open(&dir).add(&id("acme")).expect("added");
        assert!(open(&dir).active(&id("acme")).is_ok(), "{what}");
        let path = dir.path().join("tenants.sqlite");
        damage(&path);
        let before = fs::read(&path).expect("readable");
        let error = Registry::open(dir.path()).expect_err(what).to_string();
        assert!(error.contains("tenants.sqlite"), "{what}: {error}");
        assert!(error.contains("backup"), "{what}: {error}");
        assert_eq!(fs::read(&path).expect("readable"), before, "{what}");
    }
}

#[test]
fn an_unreadable_file_is_refused() {
    let dir = folder();
    let path = dir.path().join("tenants.sqlite");
    fs::create_dir(&path).expect("made");
    let error = Registry::open(dir.path()).expect_err("a folder").to_string();
    assert!(error.contains("permissions"), "{error}");
    assert!(path.is_dir());
}

#[test]
fn a_newer_format_is_refused() {
    let dir = folder();
    drop(open(&dir));
    let conn = Connection::open(dir.path().join("tenants.sqlite")).expect("opened");
    conn.pragma_update(None, "user_version", 2).expect("changed");
    assert!(matches!(
        Registry::open(dir.path()),
        Err(RegistryError::Store(StoreError::Newer { found: 2, .. }))
    ));
}

#[test]
fn a_file_that_goes_bad_denies_everybody_until_it_is_good_again() {
    let dir = folder();
    let registry = open(&dir);
    registry.add(&id("acme")).expect("added");
    let path = dir.path().join("tenants.sqlite");
    let away = dir.path().join("away");
    let denied = |what: &str| {
        assert_eq!(
            registry.active(&id("acme")),
            Err(TenantDenial::Unavailable),
            "{what}"
        );
        registry.check().expect_err(what).to_string()
    };
    let admitted = |what: &str| assert!(registry.active(&id("acme")).is_ok(), "{what}");
    admitted("at first");

    fs::rename(&path, &away).expect("moved");
    assert!(denied("moved away").contains("deleted or replaced"));
    assert!(registry.suspend(&id("acme")).is_err());
    fs::copy(&away, &path).expect("copied");
    denied("replaced by a copy");
    fs::rename(&away, &path).expect("moved back");
    admitted("moved back");

    let bytes = fs::read(&path).expect("readable");
    fs::write(&path, &bytes[..20]).expect("written");
    assert!(denied("cut off").contains("header"));
    let mut garbage = bytes.clone();
    garbage.iter_mut().skip(16).for_each(|b| *b ^= 0x55);
    fs::write(&path, &garbage).expect("written");
    denied("garbage");
    fs::write(&path, &bytes).expect("written");
    admitted("mended");

    fs::remove_file(&path).expect("deleted");
    denied("deleted");
}

#[test]
fn a_second_registry_is_seen_at_the_next_request() {
    let dir = folder();
    let server = open(&dir);
    let command = open(&dir);
    let acme = id("acme");
    for round in 0..250 {
        let added = command.add(&acme).expect("added");
        assert_eq!(server.active(&acme), Ok(added.incarnation), "{round}");
        command.suspend(&acme).expect("suspended");
        assert_eq!(server.active(&acme), Err(TenantDenial::Suspended), "{round}");
        command.resume(&acme).expect("resumed");
        assert_eq!(server.active(&acme), Ok(added.incarnation), "{round}");
        command.begin_removal(&acme).expect("begun");
        assert_eq!(server.active(&acme), Err(TenantDenial::Removed), "{round}");
        command.finish_removal(&acme).expect("finished");
        assert_eq!(server.active(&acme), Err(TenantDenial::Unknown), "{round}");
    }
}

/// Started by the next test as a process of its own, in the folder of the registry; elsewhere it does nothing.
#[test]
#[ignore = "the second process of another test"]
fn second_process() {
    if !Path::new("second-process").exists() {
        return;
    }
    let registry = Registry::open(Path::new(".")).expect("a registry");
    for line in std::io::stdin().lines() {
        match line.expect("readable").as_str() {
            "add" => drop(registry.add(&id("acme")).expect("added")),
            "suspend" => drop(registry.suspend(&id("acme")).expect("suspended")),
            "resume" => drop(registry.resume(&id("acme")).expect("resumed")),
            _ => {
                registry.begin_removal(&id("acme")).expect("begun");
                registry.finish_removal(&id("acme")).expect("finished");
            }
        }
        println!("\ndone");
    }
}

#[test]
fn a_second_process_is_seen_at_the_next_request() {
    let dir = folder();
    let registry = open(&dir);
    fs::write(dir.path().join("second-process"), "").expect("written");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "tenants::tests::second_process",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut input = child.stdin.take().expect("piped");
    let mut output = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut tell = |command: &str| {
        writeln!(input, "{command}").expect("written");
        output
            .find(|line| line.as_ref().is_ok_and(|line| line == "done"))
            .expect("an answer")
            .expect("readable");
    };
    let acme = id("acme");
    for round in 0..250 {
        tell("add");
        assert!(registry.active(&acme).is_ok(), "{round}");
        tell("suspend");
        assert_eq!(registry.active(&acme), Err(TenantDenial::Suspended), "{round}");
        tell("resume");
        assert!(registry.active(&acme).is_ok(), "{round}");
        tell("remove");
        assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown), "{round}");
    }
    drop(input);
    assert!(child.wait().expect("ended").success());
}

#[test]
fn no_reader_is_stale_once_suspend_has_returned() {
    let dir = folder();
    let server = open(&dir);
    let command = open(&dir);
    let acme = id("acme");
    command.add(&acme).expect("added");
    // Odd while the tenant is certainly suspended; even from before it is resumed until after it is suspended.
    let phase = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (admitted, denied) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let before = phase.load(Ordering::SeqCst);
                    let answer = server.active(&acme);
                    let after = phase.load(Ordering::SeqCst);
                    match answer {
                        Ok(_) => {
                            assert!(before % 2 == 0 || before != after, "a stale Ok");
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(TenantDenial::Suspended) => {
                            denied.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        for _ in 0..150 {
            command.suspend(&acme).expect("suspended");
            phase.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(300));
            phase.fetch_add(1, Ordering::SeqCst);
            command.resume(&acme).expect("resumed");
            std::thread::sleep(Duration::from_micros(300));
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(admitted.into_inner() > 0 && denied.into_inner() > 0);
}

#[test]
fn a_commit_that_is_undone_is_not_believed() {
    let dir = folder();
    let registry = open(&dir);
    registry.add(&id("acme")).expect("added");
    let known = registry.active(&id("acme")).expect("active");
    let other = Connection::open(dir.path().join("tenants.sqlite")).expect("opened");
    other
        .execute_batch("BEGIN IMMEDIATE; UPDATE tenant SET state = 'suspended'")
        .expect("changed");
    assert_eq!(registry.active(&id("acme")), Ok(known));
    other.execute_batch("ROLLBACK").expect("undone");
    assert_eq!(registry.active(&id("acme")), Ok(known));
}

#[test]
fn a_writer_that_hangs_denies_and_the_queue_behind_it_does_not_wait_in_turn() {
    let dir = folder();
    let registry = open(&dir);
    registry.add(&id("acme")).expect("added");
    registry.active(&id("acme")).expect("active");
    let path = dir.path().join("tenants.sqlite");
    let other = Connection::open(&path).expect("opened");
    // As during a commit: nobody may read, and the header has changed already.
    other.execute_batch("BEGIN EXCLUSIVE").expect("locked");
    let header = registry.header();
    let mut counter = [0; 4];
    header.read_exact_at(&mut counter, 24).expect("read");
    let writable = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    writable.write_all_at(&[0xff; 4], 24).expect("written");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(registry.active(&id("acme")), Err(TenantDenial::Unavailable)));
        }
    });
    assert!(
        started.elapsed() < Duration::from_secs(12),
        "{:?}",
        started.elapsed()
    );
    writable.write_all_at(&counter, 24).expect("written");
    assert!(registry.active(&id("acme")).is_ok());
    other.execute_batch("ROLLBACK").expect("undone");
}

#[test]
fn a_hundred_thousand_tenants_load_quickly() {
    let dir = folder();
    let ids: Vec<_> = (0..100_000).map(|n| id(&format!("tenant-{n:06}"))).collect();
    open(&dir).add_many(&ids).expect("added");
    let started = Instant::now();
    let registry = open(&dir);
    let took = started.elapsed();
    println!("loading 100,000 tenants took {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(registry.len().expect("readable"), ids.len());
    assert!(ids.iter().all(|id| registry.active(id).is_ok()));
    let started = Instant::now();
    for id in &ids {
        registry.active(id).expect("active");
    }
    println!("one lookup took {:?}", started.elapsed() / 100_000);
}

#[test]
fn opening_at_once_makes_one_registry() {
    let dir = folder();
    let data = dir.path().join("data");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let data = &data;
            scope.spawn(move || {
                let registry = Registry::open(data).expect("a registry");
                registry.add(&id(&format!("t{n}"))).expect("added");
            });
        }
    });
    assert_eq!(
        Registry::open(&data)
            .expect("a registry")
            .len()
            .expect("readable"),
        8
    );
}

#[test]
fn removal_takes_everything_but_the_audit_log() {
    let dir = folder();
    let (registry, vault) = (open(&dir), vault(&dir));
    let name = SecretName::parse("key").expect("a name");
    for tenant in ["acme", "globex"] {
        let record = registry.add(&id(tenant)).expect("added");
        vault
            .set(&record, &name, SecretString::from(tenant))
            .expect("set");
        let files = tenant_dir(dir.path(), &record.id);
        fs::create_dir_all(files.join("home")).expect("made");
        fs::write(files.join("desk.sqlite"), tenant).expect("written");
        fs::create_dir_all(dir.path().join("audit")).expect("made");
        fs::write(dir.path().join("audit").join(format!("{tenant}.jsonl")), "{}").expect("written");
    }
    let old = registry.get(&id("acme")).expect("readable").expect("there");
    remove_tenant(&registry, &vault, dir.path(), &id("acme")).expect("removed");

    assert_eq!(registry.active(&id("acme")), Err(TenantDenial::Unknown));
    assert!(!tenant_dir(dir.path(), &id("acme")).exists());
    assert_eq!(
        fs::read_dir(dir.path().join("tenants"))
            .expect("readable")
            .count(),
        1
    );
    assert!(vault.list(&old).expect("readable").is_empty());
    assert!(vault.set(&old, &name, SecretString::from("late")).is_err());
    assert!(dir.path().join("audit/acme.jsonl").exists());
    // The neighbour has everything it had.
    let globex = registry.get(&id("globex")).expect("readable").expect("there");
    assert_eq!(registry.active(&id("globex")), Ok(globex.incarnation));
    assert_eq!(vault.list(&globex).expect("readable").len(), 1);
    assert!(tenant_dir(dir.path(), &id("globex")).join("desk.sqlite").exists());

    let again = registry.add(&id("acme")).expect("added again");
    assert!(vault.list(&again).expect("readable").is_empty());
    assert!(matches!(
        remove_tenant(&registry, &vault, dir.path(), &id("nobody")),
        Err(RemovalError::Registry(RegistryError::NotFound(_)))
    ));
}

#[test]
fn an_interrupted_removal_is_finished_by_the_next() {
    let acme = id("acme");
    for stage in 0..4 {
        let dir = folder();
        let (registry, vault) = (open(&dir), vault(&dir));
        registry.add(&acme).expect("added");
        let files = tenant_dir(dir.path(), &acme);
        fs::create_dir_all(&files).expect("made");
        fs::write(files.join("desk.sqlite"), "rows").expect("written");
        let record = registry.begin_removal(&acme).expect("begun");
        if stage > 0 {
            vault.shred(&record).expect("shredded");
        }
        if stage > 1 {
            let doomed = files.with_file_name(format!(".removing-{}", record.incarnation.0));
            fs::rename(&files, doomed).expect("renamed");
        }
        if stage > 2 {
            // A late request has made the folder again.
            fs::create_dir_all(&files).expect("made");
            fs::write(files.join("desk.sqlite"), "rows").expect("written");
        }
        assert!(
            matches!(registry.add(&acme), Err(RegistryError::BeingRemoved(_))),
            "{stage}"
        );
        remove_tenant(&registry, &vault, dir.path(), &acme).expect("removed");
        assert_eq!(
            fs::read_dir(dir.path().join("tenants"))
                .expect("readable")
                .count(),
            0,
            "{stage}"
        );
        registry.add(&acme).expect("added again");
    }
}

#[test]
fn a_removal_that_was_held_up_leaves_the_next_life_alone() {
    let dir = folder();
    let (registry, vault) = (open(&dir), vault(&dir));
    let acme = id("acme");
    registry.add(&acme).expect("added");
    let held_up = registry.begin_removal(&acme).expect("begun");
    remove_tenant(&registry, &vault, dir.path(), &acme).expect("removed by another");
    let next = registry.add(&acme).expect("added again");
    let files = tenant_dir(dir.path(), &acme);
    fs::create_dir_all(&files).expect("made");

    super::remove::delete_files(&registry, dir.path(), &held_up).expect("nothing to do");
    registry.forget(&held_up).expect("nothing to do");
    assert!(files.exists());
    assert_eq!(registry.active(&acme), Ok(next.incarnation));
}
