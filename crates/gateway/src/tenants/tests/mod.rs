//! The registry: what it keeps and what it refuses.

mod changes;
mod damage;
mod processes;
mod removal;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use tempfile::TempDir;

use super::*;

fn id(text: &str) -> TenantId {
    TenantId::parse(text).expect("a tenant id")
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn open(dir: &TempDir) -> Registry {
    Registry::open(dir.path()).expect("a registry")
}

#[test]
fn a_tenants_life() {
    let dir = folder();
    let registry = open(&dir);
    let acme = id("acme");
    assert!(registry.is_empty().expect("readable"));
    assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown));

    let added = registry.add(&acme).expect("added");
    assert_eq!((added.id.clone(), added.state), (acme.clone(), TenantState::Active));
    assert_eq!(registry.active(&acme), Ok(added.incarnation));
    assert_eq!(registry.get(&acme).expect("readable"), Some(added.clone()));
    assert_eq!(registry.list().expect("readable"), std::slice::from_ref(&added));
    assert!(matches!(registry.add(&acme), Err(RegistryError::AlreadyExists(_))));

    assert_eq!(registry.suspend(&acme).expect("suspended").state, TenantState::Suspended);
    assert_eq!(registry.active(&acme), Err(TenantDenial::Suspended));
    assert_eq!(registry.suspend(&acme).expect("again").state, TenantState::Suspended);
    assert_eq!(registry.resume(&acme).expect("resumed").state, TenantState::Active);
    assert_eq!(registry.active(&acme), Ok(added.incarnation));

    assert!(matches!(registry.finish_removal(&acme), Err(RegistryError::NotBeingRemoved(_))));
    assert_eq!(registry.begin_removal(&acme).expect("begun").state, TenantState::Removing);
    assert_eq!(registry.active(&acme), Err(TenantDenial::Removed));
    assert!(matches!(registry.resume(&acme), Err(RegistryError::BeingRemoved(_))));
    assert!(matches!(registry.suspend(&acme), Err(RegistryError::BeingRemoved(_))));
    let refused = registry.add(&acme).expect_err("still being removed").to_string();
    assert!(refused.contains("partywall tenant remove acme"), "{refused}");

    registry.finish_removal(&acme).expect("finished");
    registry.finish_removal(&acme).expect("finished again");
    assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown));
    assert!(matches!(registry.begin_removal(&acme), Err(RegistryError::NotFound(_))));

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
        assert!(matches!(registry.add(&id(twin)), Err(RegistryError::CaseTwin { .. })), "{twin}");
        assert_eq!(registry.get(&id(twin)).expect("readable"), None);
        assert_eq!(registry.active(&id(twin)), Err(TenantDenial::Unknown));
        assert!(matches!(registry.suspend(&id(twin)), Err(RegistryError::NotFound(_))));
        assert!(matches!(registry.begin_removal(&id(twin)), Err(RegistryError::NotFound(_))));
        registry.finish_removal(&id(twin)).expect("nothing to do");
    }
    assert!(registry.active(&id("Acme")).is_ok());
    for word in ["default", "Default", "0"] {
        assert!(matches!(registry.add(&id(word)), Err(RegistryError::Reserved(_))), "{word}");
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
    registry.add_many(&[id("a"), id("b"), id("A")]).expect_err("twins");
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
    assert!(matches!(registry.add(&id("acme")), Err(RegistryError::LeftOver { .. })));
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
    let names: Vec<_> =
        fs::read_dir(&data).expect("readable").map(|file| file.expect("readable").file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().contains(".new")), "{names:?}");
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
        registry.file().store().read(ask).expect("readable")
    };
    assert_eq!(pragma("journal_mode"), "truncate");
    assert_eq!(pragma("synchronous"), "2");
    assert_eq!(pragma("secure_delete"), "1");
    assert_eq!(pragma("busy_timeout"), "5000");
}
