//! Removal: complete, safe to interrupt, and blind to later lives of the id.

use secrecy::SecretString;

use super::*;
use crate::{
    config::Config,
    guards::credentials::{MasterKey, SecretName, Vault},
    tenants::remove::delete_files,
};

fn vault(dir: &TempDir) -> Vault {
    let master = MasterKey::load_or_create(dir.path()).expect("a master key");
    Vault::open(dir.path(), master).expect("a vault")
}

#[test]
fn removal_takes_everything_but_the_audit_log() {
    let dir = folder();
    let (registry, vault) = (open(&dir), vault(&dir));
    let name = SecretName::parse("key").expect("a name");
    for tenant in ["acme", "globex"] {
        let record = registry.add(&id(tenant)).expect("added");
        vault.set(&record, &name, SecretString::from(tenant)).expect("set");
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
    assert_eq!(fs::read_dir(dir.path().join("tenants")).expect("readable").count(), 1);
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

/// A database of PostgreSQL keeps the rows of a tenant that was removed, and its policies know the id alone.
#[test]
fn an_id_that_was_removed_is_not_given_out_again_while_a_database_may_have_its_rows() {
    let dir = folder();
    let (registry, vault) = (open(&dir), vault(&dir));
    let parse = |text: &str| Config::parse(text, "p.toml", dir.path()).expect("a configuration");
    let files = parse("");
    let shared = parse("[data.desk]\ndriver = \"postgres\"\nisolation = \"rls\"\nurl = \"env:DB\"\n");
    for tenant in ["acme", "globex"] {
        registry.add_new(&shared, &[id(tenant)]).expect("new");
    }
    remove_tenant(&registry, &vault, dir.path(), &id("acme")).expect("removed");
    // Also by another process, and in another spelling.
    drop(registry);
    let registry = open(&dir);
    for again in ["acme", "ACME"] {
        let error = registry.add_new(&shared, &[id("initech"), id(again)]).expect_err("had rows");
        assert!(
            matches!(&error, RegistryError::HadRows { source_name, .. } if source_name == "desk"),
            "{error}"
        );
        assert!(error.to_string().contains("--reuse-rows"), "{error}");
    }
    assert_eq!(registry.get(&id("initech")).expect("readable"), None, "all or none");
    registry.add_new(&shared, &[id("initech")]).expect("another id is free");
    registry.add_new(&files, &[id("acme")]).expect("files were deleted with the tenant");
    remove_tenant(&registry, &vault, dir.path(), &id("acme")).expect("removed");
    registry.add_many(&[id("acme")]).expect("said to be meant");
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
        assert!(matches!(registry.add(&acme), Err(RegistryError::BeingRemoved(_))), "{stage}");
        remove_tenant(&registry, &vault, dir.path(), &acme).expect("removed");
        assert_eq!(fs::read_dir(dir.path().join("tenants")).expect("readable").count(), 0, "{stage}");
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

    delete_files(registry.file(), dir.path(), &held_up).expect("nothing to do");
    registry.forget(&held_up).expect("nothing to do");
    assert!(files.exists());
    assert_eq!(registry.active(&acme), Ok(next.incarnation));
}
