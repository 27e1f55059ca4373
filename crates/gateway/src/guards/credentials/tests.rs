//! What the vault opens, and everything it must not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rusqlite::{Connection, params};
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;

use super::*;
use crate::{
    admit::Permit,
    tenants::{Registry, StoreError, TenantRecord, remove_tenant},
};
use partywall_model::TenantId;

/// A data folder with tenants `acme` and `globex`, each with the secrets `crm` and `erp`.
struct World {
    dir: TempDir,
    registry: Registry,
    vault: Vault,
    acme: TenantRecord,
    globex: TenantRecord,
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).expect("a name")
}

fn master(dir: &TempDir) -> MasterKey {
    MasterKey::load_or_create(dir.path()).expect("a master key")
}

fn key(digit: char) -> MasterKey {
    MasterKey::from_text(SecretString::from(digit.to_string().repeat(64))).expect("a key")
}

fn add(registry: &Registry, id: &str) -> TenantRecord {
    registry.add(&TenantId::parse(id).expect("a tenant id")).expect("added")
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let registry = Registry::open(dir.path()).expect("a registry");
        let vault = Vault::open(dir.path(), master(&dir)).expect("a vault");
        let (acme, globex) = (add(&registry, "acme"), add(&registry, "globex"));
        let world = Self { dir, registry, vault, acme, globex };
        for tenant in [&world.acme, &world.globex] {
            for secret in ["crm", "erp"] {
                world.set(tenant, secret, &format!("{secret} of {}", tenant.id));
            }
        }
        world.assert_all_open();
        world
    }

    fn set(&self, tenant: &TenantRecord, secret: &str, value: &str) {
        self.vault.set(tenant, &name(secret), SecretString::from(value)).expect("set");
    }

    fn read(&self, tenant: &TenantRecord, secret: &str) -> Result<Option<String>, VaultError> {
        read(&self.vault, tenant, secret)
    }

    fn assert_all_open(&self) {
        for tenant in [&self.acme, &self.globex] {
            for secret in ["crm", "erp"] {
                let value = self.read(tenant, secret).expect("opens").expect("there");
                assert_eq!(value, format!("{secret} of {}", tenant.id));
            }
        }
    }

    /// The file as somebody sees it who may write it.
    fn raw(&self) -> Connection {
        Connection::open(self.dir.path().join("vault.sqlite")).expect("opened")
    }
}

fn read(vault: &Vault, tenant: &TenantRecord, secret: &str) -> Result<Option<String>, VaultError> {
    let permit = Permit::for_test(tenant.id.as_str(), tenant.incarnation.0);
    let value = vault.read(&permit, &name(secret))?;
    Ok(value.map(|value| value.expose_secret().to_owned()))
}

#[test]
fn a_secrets_life() {
    let world = World::new();
    let value = "ключ 🔑 \n with anything but a NUL";
    assert_eq!(world.read(&world.acme, "new").expect("readable"), None);
    world.set(&world.acme, "new", "first");
    world.set(&world.acme, "new", value);
    assert_eq!(world.read(&world.acme, "new").expect("opens").as_deref(), Some(value));
    assert_eq!(world.read(&world.globex, "new").expect("readable"), None);

    let listed = world.vault.list(&world.acme).expect("readable");
    let listed: Vec<_> =
        listed.iter().map(|info| (info.name.as_str(), info.version, info.updated_at > 0)).collect();
    assert_eq!(listed, [("crm", 1, true), ("erp", 1, true), ("new", 2, true)]);

    assert!(world.vault.remove(&world.acme, &name("new")).expect("removed"));
    assert!(!world.vault.remove(&world.acme, &name("new")).expect("nothing there"));
    assert_eq!(world.read(&world.acme, "new").expect("readable"), None);
    world.assert_all_open();
}

#[test]
fn values_have_limits() {
    let world = World::new();
    let set = |value: &str| world.vault.set(&world.acme, &name("crm"), SecretString::from(value));
    for bad in [String::new(), "pass\0word".to_owned(), "x".repeat(Vault::MAX_VALUE + 1)] {
        let error = set(&bad).expect_err("refused");
        assert!(matches!(error, VaultError::Value { .. }));
        assert!(!error.to_string().contains("pass"));
    }
    world.assert_all_open();
    let longest = "x".repeat(Vault::MAX_VALUE);
    set(&longest).expect("set");
    assert_eq!(world.read(&world.acme, "crm").expect("opens"), Some(longest));
}

#[test]
fn values_and_keys_are_not_in_the_files() {
    let world = World::new();
    world.set(&world.acme, "crm", "canary-7c1f");
    for file in fs::read_dir(world.dir.path()).expect("readable") {
        let path = file.expect("readable").path();
        let bytes = fs::read(&path).expect("readable");
        assert!(!bytes.windows(11).any(|w| w == b"canary-7c1f"), "{}", path.display());
    }
    // The names are in clear: so the search above does find things.
    let bytes = fs::read(world.dir.path().join("vault.sqlite")).expect("readable");
    assert!(bytes.windows(4).any(|w| w == b"acme"));
}

#[test]
fn a_second_vault_is_seen_at_the_next_call() {
    let world = World::new();
    let command = Vault::open(world.dir.path(), master(&world.dir)).expect("a vault");
    for round in 0..100 {
        let value = format!("value {round}");
        command.set(&world.acme, &name("crm"), SecretString::from(value.as_str())).expect("set");
        assert_eq!(world.read(&world.acme, "crm").expect("opens"), Some(value));
    }
    command.remove(&world.acme, &name("crm")).expect("removed");
    assert_eq!(world.read(&world.acme, "crm").expect("readable"), None);
}

#[test]
fn ciphertexts_swapped_between_tenants_do_not_open() {
    let world = World::new();
    world
        .raw()
        .execute_batch(
            "CREATE TEMP TABLE old AS SELECT * FROM secret;
             UPDATE secret SET sealed = (SELECT o.sealed FROM old o WHERE o.name = secret.name AND o.tenant <> secret.tenant)
             WHERE name = 'crm'",
        )
        .expect("swapped");
    for tenant in [&world.acme, &world.globex] {
        assert!(matches!(world.read(tenant, "crm"), Err(VaultError::Secret { .. })));
        assert!(world.read(tenant, "erp").expect("opens").is_some());
    }
}

#[test]
fn whole_rows_relabelled_do_not_open() {
    let world = World::new();
    for table in ["secret", "tenant_key"] {
        let relabel = format!("UPDATE {table} SET tenant = ?1, incarnation = ?2 WHERE tenant = ?3");
        let raw = world.raw();
        let (acme, globex) = (&world.acme, &world.globex);
        for (to, incarnation, from) in [
            ("tmp", 0, "acme"),
            ("acme", acme.incarnation.0.cast_signed(), "globex"),
            ("globex", globex.incarnation.0.cast_signed(), "tmp"),
        ] {
            let changed = raw.execute(&relabel, params![to, incarnation, from]).expect("relabelled");
            assert!(changed > 0);
        }
        for tenant in [&world.acme, &world.globex] {
            for secret in ["crm", "erp"] {
                world.read(tenant, secret).expect_err("another tenant's row");
            }
        }
    }
}

#[test]
fn wrapped_keys_swapped_between_tenants_do_not_open() {
    let world = World::new();
    let swap = "CREATE TEMP TABLE old AS SELECT * FROM tenant_key;
                UPDATE tenant_key SET sealed = (SELECT o.sealed FROM old o WHERE o.tenant <> tenant_key.tenant);
                DROP TABLE old;";
    let raw = world.raw();
    raw.execute_batch(swap).expect("swapped");
    for tenant in [&world.acme, &world.globex] {
        assert!(matches!(world.read(tenant, "crm"), Err(VaultError::TenantKey { .. })));
        let value = SecretString::from("new");
        assert!(world.vault.set(tenant, &name("crm"), value).is_err());
        assert!(world.vault.rotate_tenant(tenant).is_err());
    }
    assert!(world.vault.rotate_master(key('1')).is_err());
    // Swapped back, everything is as it was: nothing was changed by the failures.
    raw.execute_batch(swap).expect("swapped back");
    world.assert_all_open();
}

#[test]
fn a_swap_of_two_names_or_a_change_of_version_does_not_open() {
    let world = World::new();
    let raw = world.raw();
    raw.execute_batch(
        "UPDATE secret SET name = 'tmp' WHERE name = 'crm' AND tenant = 'acme';
         UPDATE secret SET name = 'crm' WHERE name = 'erp' AND tenant = 'acme';
         UPDATE secret SET name = 'erp' WHERE name = 'tmp' AND tenant = 'acme';
         UPDATE secret SET version = 2 WHERE name = 'crm' AND tenant = 'globex';",
    )
    .expect("swapped");
    for (tenant, secret) in [(&world.acme, "crm"), (&world.acme, "erp"), (&world.globex, "crm")] {
        assert!(matches!(world.read(tenant, secret), Err(VaultError::Secret { .. })));
    }
    assert!(world.read(&world.globex, "erp").expect("opens").is_some());
}

#[test]
fn a_secret_without_its_key_is_an_error_and_not_nothing() {
    let world = World::new();
    world.raw().execute("DELETE FROM tenant_key WHERE tenant = 'acme'", []).expect("deleted");
    assert!(matches!(world.read(&world.acme, "crm"), Err(VaultError::TenantKey { .. })));
    assert!(world.read(&world.globex, "crm").expect("opens").is_some());
}

#[test]
fn removal_shreds_for_good() {
    let world = World::new();
    let before = world.dir.path().join("before.sqlite");
    fs::copy(world.dir.path().join("vault.sqlite"), &before).expect("copied");
    let sealed: Vec<u8> = world
        .raw()
        .query_row("SELECT sealed FROM tenant_key WHERE tenant = 'acme'", [], |row| row.get(0))
        .expect("there");
    remove_tenant(&world.registry, &world.vault, world.dir.path(), &world.acme.id).expect("removed");
    let bytes = fs::read(world.dir.path().join("vault.sqlite")).expect("readable");
    assert!(!bytes.windows(sealed.len()).any(|w| w == sealed), "the key is still in the file");
    let bytes = fs::read(&before).expect("readable");
    assert!(bytes.windows(sealed.len()).any(|w| w == sealed), "the search finds nothing anywhere");

    let again = add(&world.registry, "acme");
    assert_eq!(world.read(&again, "crm").expect("readable"), None);
    world.set(&again, "crm", "new");
    let raw = world.raw();
    let attach = format!("ATTACH '{}' AS before", before.display());
    raw.execute_batch(&attach).expect("attached");
    // The old secrets under the new tenant's name, first with its new key, then with the old one.
    for statement in [
        "INSERT OR REPLACE INTO secret SELECT tenant, ?1, name, version, updated_at, sealed
         FROM before.secret WHERE tenant = 'acme'",
        "INSERT OR REPLACE INTO tenant_key SELECT tenant, ?1, sealed FROM before.tenant_key WHERE tenant = 'acme'",
    ] {
        let copied = raw.execute(statement, [again.incarnation.0.cast_signed()]).expect("copied");
        assert!(copied > 0);
        for secret in ["crm", "erp"] {
            world.read(&again, secret).expect_err("an earlier life's secret");
        }
    }
    assert!(world.read(&world.globex, "crm").expect("opens").is_some());
}

#[test]
fn a_wrong_master_key_is_refused_at_open() {
    let world = World::new();
    let before = fs::read(world.dir.path().join("vault.sqlite")).expect("readable");
    let error = Vault::open(world.dir.path(), key('1')).expect_err("wrong");
    assert!(matches!(error, VaultError::WrongMasterKey { .. }));
    assert_eq!(fs::read(world.dir.path().join("vault.sqlite")).expect("readable"), before);
    Vault::open(world.dir.path(), master(&world.dir)).expect("the right one");
}

#[test]
fn rotation_of_the_master_key_keeps_the_values_and_ends_the_old_key() {
    let world = World::new();
    let other_process = Vault::open(world.dir.path(), master(&world.dir)).expect("a vault");
    world.vault.rotate_master(key('1')).expect("rotated");
    world.assert_all_open();
    world.set(&world.acme, "crm", "crm of acme");
    world.assert_all_open();

    let wrong = |error: VaultError| assert!(matches!(error, VaultError::WrongMasterKey { .. }));
    wrong(Vault::open(world.dir.path(), master(&world.dir)).expect_err("the old key"));
    wrong(read(&other_process, &world.acme, "crm").expect_err("the old key"));
    // A key sealed under the old master key would be lost.
    let late = add(&world.registry, "late");
    let value = SecretString::from("value");
    wrong(other_process.set(&late, &name("crm"), value).expect_err("the old key"));
    wrong(other_process.rotate_tenant(&world.acme).expect_err("the old key"));
    wrong(other_process.rotate_master(key('2')).expect_err("the old key"));

    let new = Vault::open(world.dir.path(), key('1')).expect("the new key");
    assert_eq!(read(&new, &world.globex, "erp").expect("opens").as_deref(), Some("erp of globex"));
}

#[test]
fn rotation_of_a_tenants_key_keeps_its_values_and_ends_the_old_key() {
    let world = World::new();
    let raw = world.raw();
    raw.execute_batch("CREATE TABLE old AS SELECT * FROM tenant_key").expect("copied");
    world.vault.rotate_tenant(&world.acme).expect("rotated");
    world.assert_all_open();
    raw.execute_batch("INSERT OR REPLACE INTO tenant_key SELECT * FROM old").expect("put back");
    assert!(world.read(&world.acme, "crm").is_err());
    assert!(world.read(&world.globex, "crm").expect("opens").is_some());
}

#[test]
fn reading_while_the_key_rotates_never_fails() {
    let world = World::new();
    let server = Vault::open(world.dir.path(), master(&world.dir)).expect("a vault");
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for _ in 0..50 {
                world.vault.rotate_tenant(&world.acme).expect("rotated");
            }
        });
        let mut reads = 0;
        while !rotating.is_finished() {
            let value = read(&server, &world.acme, "crm").expect("opens");
            assert_eq!(value.as_deref(), Some("crm of acme"));
            reads += 1;
        }
        assert!(reads > 0);
    });
}

/// Damages a vault in one way.
type Damage = fn(&Path);

#[test]
fn a_damaged_vault_is_refused_and_left_alone() {
    let damages: [(&str, Damage); 4] = [
        ("emptied", |path| fs::write(path, "").expect("written")),
        ("truncated", |path| {
            let bytes = fs::read(path).expect("readable");
            fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
        }),
        ("garbage", |path| fs::write(path, "x".repeat(20_000)).expect("written")),
        ("a folder", |path| {
            fs::remove_file(path).expect("deleted");
            fs::create_dir(path).expect("made");
        }),
    ];
    for (what, damage) in damages {
        let world = World::new();
        let path = world.dir.path().join("vault.sqlite");
        drop(world.vault);
        damage(&path);
        let before = fs::read(&path).ok();
        let error = Vault::open(world.dir.path(), master(&world.dir)).expect_err(what);
        assert!(matches!(error, VaultError::Store(_)), "{what}");
        let error = error.to_string();
        assert!(error.contains("vault.sqlite") && error.contains("; "), "{what}: {error}");
        assert_eq!(fs::read(&path).ok(), before, "{what}");
    }
}

#[test]
fn a_vault_that_is_deleted_or_replaced_gives_nothing_out() {
    let world = World::new();
    let path = world.dir.path().join("vault.sqlite");
    let away = world.dir.path().join("away");
    fs::rename(&path, &away).expect("moved");
    for _ in 0..2 {
        assert!(matches!(world.read(&world.acme, "crm"), Err(VaultError::Store(StoreError::Moved { .. }))));
        fs::copy(&away, &path).expect("copied");
    }
    fs::rename(&away, &path).expect("moved back");
    world.assert_all_open();
}

#[test]
fn the_master_key_is_for_its_owner_only() {
    let world = World::new();
    let path = world.dir.path().join("master.key");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&world.dir.path().join("vault.sqlite")), 0o600);
    for exposed in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, fs::Permissions::from_mode(exposed)).expect("changed");
        let error = MasterKey::load_or_create(world.dir.path()).expect_err("exposed").to_string();
        assert!(error.contains(&format!("chmod 600 '{}'", path.display())), "{error}");
    }
    for private in [0o600, 0o400] {
        fs::set_permissions(&path, fs::Permissions::from_mode(private)).expect("changed");
        MasterKey::load_or_create(world.dir.path()).expect("private");
    }
}

#[test]
fn a_lost_or_damaged_master_key_is_not_made_anew() {
    let world = World::new();
    let path = world.dir.path().join("master.key");
    let good = fs::read_to_string(&path).expect("readable");
    let (half, _) = good.split_at(40);
    for bad in ["", "canary-7c1f", half] {
        fs::write(&path, bad).expect("written");
        let error = MasterKey::load_or_create(world.dir.path()).expect_err("damaged").to_string();
        assert!(!error.contains("canary") && error.contains("master.key"), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("readable"), bad);
    }
    fs::remove_file(&path).expect("deleted");
    assert!(matches!(MasterKey::load_or_create(world.dir.path()), Err(VaultError::KeyMissing { .. })));
    assert!(!path.exists());
    fs::write(&path, good).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    Vault::open(world.dir.path(), master(&world.dir)).expect("restored");
}

#[test]
fn opening_at_once_makes_one_master_key_and_one_vault() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let data = dir.path().join("data");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let master = MasterKey::load_or_create(&data).expect("a master key");
                    Vault::open(&data, master).expect("the same key for all");
                });
            }
        });
        let names = fs::read_dir(&data).expect("readable").map(|file| file.expect("readable").file_name());
        let mut names: Vec<_> = names.filter(|name| !name.to_string_lossy().ends_with("-journal")).collect();
        names.sort();
        assert_eq!(names, ["master.key", "vault.sqlite"]);
    }
}

#[test]
fn a_master_key_is_read_in_each_spelling() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let vault = |text: &str| {
        let master = MasterKey::from_text(SecretString::from(text))?;
        Vault::open(dir.path(), master).map(drop)
    };
    // The bytes fb ff .. ff, where the two base64 alphabets differ.
    let hex = format!("fb{}", "ff".repeat(31));
    let base64 = format!("+{}8=", "/".repeat(41));
    vault(&hex).expect("hexadecimal");
    vault(&format!(" {}\n", hex.to_uppercase())).expect("capitals and blanks");
    vault(&base64).expect("base64");
    vault(base64.trim_end_matches('=')).expect("base64 without padding");
    vault(&base64.replace('+', "-").replace('/', "_")).expect("base64 for URLs");
    let (short, _) = hex.split_at(62);
    for bad in ["", "canary", short, &format!("{hex}00"), &hex.replace('b', "g")] {
        let error = vault(bad).expect_err(bad);
        assert!(matches!(error, VaultError::KeyFormat), "{bad}");
        assert!(!error.to_string().contains("canary"));
    }
}

#[test]
fn a_key_is_written_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("next.key");
    key('1').write_new(&path).expect("written");
    assert!(key('2').write_new(&path).is_err());
    Vault::open(dir.path(), MasterKey::from_file(&path).expect("a key")).expect("a vault");
    Vault::open(dir.path(), key('1')).expect("the same key");
}

#[test]
fn nothing_prints_a_key_or_a_value() {
    let world = World::new();
    let digits = fs::read_to_string(world.dir.path().join("master.key")).expect("readable");
    for text in [format!("{:?}", master(&world.dir)), format!("{:?}", world.vault)] {
        assert!(!text.contains(digits.trim()) && !text.contains("crm of"), "{text}");
    }
}
