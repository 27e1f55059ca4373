//! The vault: a tenant's rows are out of reach for others, and do not open where they do not belong.

use secrecy::ExposeSecret as _;

use super::*;
use crate::{
    admit::Permit,
    guards::credentials::{SecretName, VaultError},
    tenants::TenantRecord,
};

fn name(text: &str) -> SecretName {
    SecretName::parse(text).expect("a name")
}

fn value(stores: &Stores, tenant: &TenantRecord, secret: &str) -> Result<Option<String>, VaultError> {
    let permit = Permit::for_test(tenant.id.as_str(), tenant.incarnation.0);
    let value = stores.vault.read(&permit, &name(secret))?;
    Ok(value.map(|value| value.expose_secret().to_owned()))
}

fn two_tenants(stores: &Stores) -> [TenantRecord; 2] {
    ["acme", "globex"].map(|tenant| {
        let record = stores.registry.add(&id(tenant)).expect("added");
        stores.vault.set(&record, &name("key"), format!("of {tenant}").into()).expect("stored");
        record
    })
}

#[test]
fn every_process_has_each_tenants_own_secret() {
    let base = Base::new();
    let (one, other) = (base.stores(), base.stores());
    let [acme, globex] = two_tenants(&one);
    assert_eq!(value(&other, &acme, "key").unwrap().as_deref(), Some("of acme"));
    assert_eq!(value(&other, &globex, "key").unwrap().as_deref(), Some("of globex"));
    assert_eq!(value(&other, &globex, "other").unwrap(), None);
    other.vault.set(&acme, &name("key"), "newer".into()).expect("stored");
    assert_eq!(value(&one, &acme, "key").unwrap().as_deref(), Some("newer"));
    assert_eq!(one.vault.list(&acme).unwrap()[0].version, 2);
    other.vault.rotate_tenant(&acme).expect("rotated");
    assert_eq!(value(&one, &acme, "key").unwrap().as_deref(), Some("newer"));
    assert!(one.vault.remove(&acme, &name("key")).unwrap());
    assert_eq!(value(&other, &acme, "key").unwrap(), None);
    assert_eq!(value(&other, &globex, "key").unwrap().as_deref(), Some("of globex"));
}

/// Without row-level security the gateway's own role would see all of them.
#[test]
fn a_transaction_that_names_no_tenant_sees_no_secret_and_no_key() {
    let base = Base::new();
    let [acme, _] = two_tenants(&base.stores());
    for table in ["secret", "tenant_key"] {
        let count = |set: &str| {
            base.sql_as_role(&format!("BEGIN; {set} SELECT count(*) FROM partywall.{table}; COMMIT"))
        };
        assert_eq!(count("").last().unwrap(), &["0"], "{table}");
        let named = format!("SELECT set_config('partywall.tenant', '{}', true);", acme.id);
        assert_eq!(count(&named).last().unwrap(), &["1"], "{table}");
    }
    let moved = base.sql_as_role(
        "WITH moved AS (UPDATE partywall.secret SET tenant = 'acme' RETURNING 1) SELECT count(*) FROM moved",
    );
    assert_eq!(moved, [["0"]]);
}

#[test]
fn rows_that_somebody_moved_do_not_open() {
    let base = Base::new();
    let stores = base.stores();
    let [acme, globex] = two_tenants(&stores);
    base.sql(
        "UPDATE partywall.secret SET sealed = (SELECT sealed FROM partywall.secret WHERE tenant = 'acme')",
    );
    assert!(matches!(value(&stores, &globex, "key"), Err(VaultError::Secret { .. })));
    assert_eq!(value(&stores, &acme, "key").unwrap().as_deref(), Some("of acme"));
    base.sql("UPDATE partywall.tenant_key SET sealed = (SELECT sealed FROM partywall.tenant_key WHERE tenant = 'acme')");
    assert!(matches!(value(&stores, &globex, "key"), Err(VaultError::TenantKey { .. })));
}

#[test]
fn another_master_key_is_refused_and_the_message_says_which_is_wanted() {
    let base = Base::new();
    base.stores();
    let refused = base.try_stores(master(8)).map(|_| ()).expect_err("it is another").to_string();
    assert!(refused.contains("master.key") && refused.contains("server.master_key"), "{refused}");
}

#[test]
fn a_rotated_master_key_opens_everything_and_the_old_one_nothing() {
    let base = Base::new();
    let (one, other) = (base.stores(), base.stores());
    let [acme, globex] = two_tenants(&one);
    one.vault.rotate_master(master(9)).expect("rotated");
    assert_eq!(value(&one, &acme, "key").unwrap().as_deref(), Some("of acme"));
    assert_eq!(value(&one, &globex, "key").unwrap().as_deref(), Some("of globex"));
    assert!(matches!(value(&other, &acme, "key"), Err(VaultError::OtherMasterKey { .. })));
    assert!(other.vault.set(&acme, &name("key"), "late".into()).is_err());
}

/// A tenant's first secret, begun under the old key, is not left behind by a rotation that passes by.
#[test]
fn a_first_secret_that_is_under_way_is_sealed_by_the_new_master_key_too() {
    let base = Base::new();
    let (one, other) = (base.stores(), base.stores());
    let acme = one.registry.add(&id("acme")).expect("added");
    let waiting = |count: &str| {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
            base.name
        );
        let asked = std::time::Instant::now();
        while base.sql(&sql) != [[count]] {
            assert!(asked.elapsed() < Duration::from_secs(4), "{count} should wait for a lock");
        }
    };
    std::thread::scope(|scope| {
        let setting = scope.spawn(|| {
            let held = format!(
                "BEGIN; SELECT pg_advisory_xact_lock({}); SELECT pg_sleep(3); COMMIT",
                acme.incarnation.0
            );
            base.sql(&held)
        });
        let asked = std::time::Instant::now();
        while base.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == [["0"]] {
            assert!(asked.elapsed() < Duration::from_secs(4), "the lock is taken");
        }
        let first = scope.spawn(|| other.vault.set(&acme, &name("key"), "first".into()));
        waiting("1");
        let rotated = scope.spawn(|| one.vault.rotate_master(master(9)));
        waiting("2");
        setting.join().expect("held");
        first.join().expect("ran").expect("stored");
        rotated.join().expect("ran").expect("rotated");
    });
    assert_eq!(value(&one, &acme, "key").unwrap().as_deref(), Some("first"));
}

#[test]
fn shredded_secrets_are_gone_and_none_comes_after() {
    let base = Base::new();
    let stores = base.stores();
    let [acme, globex] = two_tenants(&stores);
    crate::tenants::remove_tenant(&stores.registry, &stores.vault, base.folder.path(), &acme.id)
        .expect("removed");
    assert_eq!(base.sql("SELECT DISTINCT tenant FROM partywall.secret"), [["globex"]]);
    assert_eq!(base.sql("SELECT DISTINCT tenant FROM partywall.tenant_key"), [["globex"]]);
    assert!(matches!(stores.vault.set(&acme, &name("late"), "x".into()), Err(VaultError::Shredded(_))));
    let again = stores.registry.add(&acme.id).expect("added again");
    assert_eq!(value(&stores, &again, "key").unwrap(), None, "another life meets nothing");
    assert_eq!(value(&stores, &globex, "key").unwrap().as_deref(), Some("of globex"));
}
