//! A registry whose file is damaged, moved or replaced admits nobody.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::*;

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
        ("garbage", |path| fs::write(path, "x".repeat(20_000)).expect("written")),
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
    conn.pragma_update(None, "user_version", 4).expect("changed");
    assert!(matches!(
        Registry::open(dir.path()),
        Err(RegistryError::Store(StoreError::Newer { found: 4, .. }))
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
        assert_eq!(registry.active(&id("acme")), Err(TenantDenial::Unavailable), "{what}");
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
