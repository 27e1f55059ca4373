//! The registry: what holds of one in a file holds here, in all processes at once.

use std::time::{Duration, Instant};

use super::*;
use crate::tenants::{Registry, RegistryError, TenantDenial, TenantState};

fn serving(base: &Base) -> Registry {
    let registry = base.stores().registry;
    registry.attend().expect("the tenants can be read");
    registry
}

#[test]
fn a_tenants_life() {
    let base = Base::new();
    let registry = serving(&base);
    let acme = id("acme");
    assert!(registry.is_empty().expect("readable"));
    assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown));
    let added = registry.add(&acme).expect("added");
    assert_eq!(registry.active(&acme), Ok(added.incarnation));
    assert_eq!(registry.get(&acme).expect("readable"), Some(added.clone()));
    assert!(matches!(registry.add(&acme), Err(RegistryError::AlreadyExists(_))));
    assert!(matches!(registry.add(&id("Acme")), Err(RegistryError::CaseTwin { .. })));
    assert!(matches!(registry.add(&id("default")), Err(RegistryError::Reserved(_))));
    assert_eq!(registry.suspend(&acme).expect("suspended").state, TenantState::Suspended);
    assert_eq!(registry.active(&acme), Err(TenantDenial::Suspended));
    assert_eq!(registry.resume(&acme).expect("resumed").state, TenantState::Active);
    assert_eq!(registry.active(&acme), Ok(added.incarnation));
    assert!(matches!(registry.finish_removal(&acme), Err(RegistryError::NotBeingRemoved(_))));
    registry.begin_removal(&acme).expect("begun");
    assert_eq!(registry.active(&acme), Err(TenantDenial::Removed));
    assert!(matches!(registry.resume(&acme), Err(RegistryError::BeingRemoved(_))));
    assert!(matches!(registry.add(&acme), Err(RegistryError::BeingRemoved(_))));
    registry.finish_removal(&acme).expect("finished");
    assert_eq!(registry.active(&acme), Err(TenantDenial::Unknown));
    let again = registry.add(&acme).expect("added again");
    assert!(again.incarnation.0 > added.incarnation.0, "another life");
    assert_eq!(registry.active(&acme), Ok(again.incarnation));
}

#[test]
fn an_id_that_was_removed_is_known() {
    let base = Base::new();
    let stores = base.stores();
    let (acme, globex) = (id("acme"), id("globex"));
    stores.registry.add_many(&[acme.clone(), globex.clone()]).expect("added");
    assert_eq!(stores.registry.removed_before(&[acme.clone(), globex.clone()]).expect("readable"), None);
    crate::tenants::remove_tenant(&stores.registry, &stores.vault, std::path::Path::new("/nowhere"), &globex)
        .expect("removed");
    let known = base.stores().registry.removed_before(&[acme, globex.clone()]).expect("readable");
    assert_eq!(known, Some(globex));
}

/// As in a file: a database of the operator's may take two spellings for the same.
#[test]
fn an_id_that_was_removed_is_known_in_any_spelling() {
    let base = Base::new();
    let stores = base.stores();
    stores.registry.add(&id("acme")).expect("added");
    // Made by an earlier build.
    base.sql("DROP POLICY IF EXISTS in_any_spelling ON partywall.shredded");
    let stores = base.stores();
    crate::tenants::remove_tenant(
        &stores.registry,
        &stores.vault,
        std::path::Path::new("/nowhere"),
        &id("acme"),
    )
    .expect("removed");
    let twin = id("ACME");
    let known = stores.registry.removed_before(&[id("other"), twin.clone()]).expect("readable");
    assert_eq!(known, Some(twin));
    assert_eq!(base.sql_as_role("SELECT count(*) FROM partywall.shredded"), [["0"]], "without naming one");
}

#[test]
fn all_or_none_of_many_are_added() {
    let base = Base::new();
    let registry = base.stores().registry;
    registry.add(&id("b")).expect("added");
    registry.add_many(&[id("a"), id("b"), id("c")]).expect_err("one is taken");
    let ids: Vec<_> = registry.list().expect("readable").into_iter().map(|record| record.id).collect();
    assert_eq!(ids, [id("b")]);
}

/// What "suspended" means to whoever typed it: no server admits the tenant any more.
#[test]
fn no_process_admits_a_tenant_once_suspend_has_returned() {
    let base = Base::new();
    let servers = [(); 3].map(|()| serving(&base));
    let command = base.stores().registry;
    let acme = id("acme");
    command.add(&acme).expect("added");
    for round in 0..20 {
        command.suspend(&acme).expect("suspended");
        for server in &servers {
            assert_eq!(server.active(&acme), Err(TenantDenial::Suspended), "round {round}");
        }
        command.resume(&acme).expect("resumed");
        for server in &servers {
            assert!(server.active(&acme).is_ok(), "round {round}");
        }
    }
}

/// A server that cannot ask is waited for until its term is over, and then admits nobody.
#[test]
fn a_server_that_is_cut_off_denies_everybody_before_a_suspension_returns() {
    let base = Base::new();
    let server = serving(&base);
    let acme = id("acme");
    server.add(&acme).expect("added");
    assert!(server.active(&acme).is_ok());
    base.shut();
    // Changed behind the registry's back, by somebody who only honours the terms.
    let asked = Instant::now();
    loop {
        let open = base.sql("SELECT count(*) FROM partywall.replica WHERE until > clock_timestamp()");
        if open == [["0"]] {
            break;
        }
        assert!(asked.elapsed() < Duration::from_secs(20), "its term never ends");
        std::thread::yield_now();
    }
    assert_eq!(server.active(&acme), Err(TenantDenial::Unavailable), "it knows no better");
    assert!(server.check().is_err(), "and says so");
    base.open_again();
    let asked = Instant::now();
    while server.active(&acme).is_err() {
        assert!(asked.elapsed() < Duration::from_secs(20), "it finds the database again");
        std::thread::yield_now();
    }
}

/// A server whose connection was lost and came back learns what it missed, also when the log of changes does not reach back.
#[test]
fn what_was_missed_is_learnt() {
    let base = Base::new();
    let server = serving(&base);
    let command = base.stores().registry;
    for n in 0..50 {
        command.add(&id(&format!("t{n}"))).expect("added");
    }
    base.sql(&format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}' AND query LIKE '%replica%'",
        base.name
    ));
    base.sql("DELETE FROM partywall.change WHERE number < (SELECT max(number) FROM partywall.change)");
    command.suspend(&id("t7")).expect("suspended");
    assert_eq!(server.active(&id("t7")), Err(TenantDenial::Suspended));
    assert!(server.active(&id("t8")).is_ok());
}
