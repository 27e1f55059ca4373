//! The registry: what holds of one in a file holds here, in all processes at once.

use std::time::{Duration, Instant};

use super::*;
use crate::tenants::{Issued, Registry, RegistryError, TenantDenial, TenantState};

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
    made_by_an_earlier_build(&base);
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
    assert_eq!(known.as_ref(), Some(&twin));
    assert!(base.stores().registry.add(&twin).expect("added").again, "it is told from the one before");
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

/// Takes away what was added to the schema.
fn made_by_an_earlier_build(base: &Base) {
    base.sql(
        "DROP POLICY readable ON partywall.shredded;
         CREATE POLICY in_any_spelling ON partywall.shredded FOR SELECT
             USING (lower(tenant) = lower(current_setting('partywall.tenant', true)));
         DROP TRIGGER begun ON partywall.tenant;
         DROP FUNCTION partywall.begin_life;
         DROP FUNCTION partywall.with_lines;
         DROP TRIGGER noted_new ON partywall.tenant;
         DROP FUNCTION partywall.note_new;
         DROP TRIGGER noted ON partywall.tenant;
         CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON partywall.tenant
             FOR EACH ROW EXECUTE FUNCTION partywall.note_change();
         ALTER TABLE partywall.tenant DROP COLUMN again;
         ALTER TABLE partywall.change DROP COLUMN tag;
         ALTER TABLE partywall.replica DROP COLUMN tag",
    );
}

/// A backup is put back in place, and as many changes are made as were lost, before a server looks again.
#[test]
fn another_history_with_the_same_numbers_is_noticed() {
    let base = Base::new();
    let server = serving(&base);
    let command = base.stores().registry;
    let (acme, globex) = (id("acme"), id("globex"));
    command.add_many(&[acme.clone(), globex.clone()]).expect("added");
    command.suspend(&globex).expect("suspended");
    assert_eq!(server.active(&globex), Err(TenantDenial::Suspended));
    // Of the update there are two changes that say the same.
    base.sql(
        "BEGIN;
         ALTER TABLE partywall.tenant DISABLE TRIGGER noted;
         UPDATE partywall.tenant SET state = 'active' WHERE id = 'globex';
         ALTER TABLE partywall.tenant ENABLE TRIGGER noted;
         DELETE FROM partywall.change WHERE number > (SELECT max(number) - 2 FROM partywall.change);
         SELECT setval(pg_get_serial_sequence('partywall.change', 'number'), max(number)) FROM partywall.change;
         UPDATE partywall.tenant SET state = 'suspended' WHERE id = 'acme';
         COMMIT",
    );
    command.suspend(&acme).expect("suspended already, and seen by all");
    assert_eq!(server.active(&acme), Err(TenantDenial::Suspended));
    assert!(server.active(&globex).is_ok(), "as in the backup");
}

/// What a restored registry lost is not given out again: data under a life's number belongs to that life alone.
#[test]
fn a_restored_registry_gives_no_life_out_twice() {
    let base = Base::new();
    let registry = base.stores().registry;
    registry.add(&id("acme")).expect("added");
    let backup = base.sql("SELECT last_value FROM partywall.tenant_incarnation_seq");
    let lost = registry.add(&id("newco")).expect("added").incarnation;
    base.sql(&format!(
        "DELETE FROM partywall.tenant WHERE id = 'newco';
         SELECT setval('partywall.tenant_incarnation_seq', {})",
        backup[0][0]
    ));
    let again = registry.add(&id("newco")).expect("added").incarnation;
    assert!(again > lost, "{again:?} after {lost:?}");
}

/// Some languages have another small letter for I.
#[test]
fn ids_are_the_same_in_every_language() {
    let base = Base::with("LOCALE_PROVIDER icu ICU_LOCALE 'tr' ENCODING 'UTF8' TEMPLATE template0");
    let stores = base.stores();
    let inc = id("INC2");
    let added = stores.registry.add(&inc).expect("added");
    assert!(matches!(stores.registry.add(&id("inc2")), Err(RegistryError::CaseTwin { .. })));
    assert_eq!(stores.registry.get(&inc).expect("readable"), Some(added));
    stores.registry.suspend(&inc).expect("suspended");
    crate::tenants::remove_tenant(&stores.registry, &stores.vault, std::path::Path::new("/nowhere"), &inc)
        .expect("removed");
    assert_eq!(stores.registry.removed_before(&[id("inc2")]).expect("readable"), Some(id("inc2")));
}

#[test]
fn a_server_that_has_ended_is_not_waited_for() {
    let base = Base::new();
    let command = base.stores().registry;
    command.add(&id("acme")).expect("added");
    drop(serving(&base));
    assert_eq!(base.sql("SELECT count(*) FROM partywall.replica"), [["0"]]);
    let asked = Instant::now();
    command.suspend(&id("acme")).expect("suspended");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

/// The database's clock was ahead, and was put right.
#[test]
fn a_term_that_no_server_can_have_is_waited_for_once() {
    let base = Base::new();
    let command = base.stores().registry;
    command.add(&id("acme")).expect("added");
    base.sql("INSERT INTO partywall.replica VALUES ('gone', 1, clock_timestamp() + interval '50 minutes')");
    let asked = Instant::now();
    command.suspend(&id("acme")).expect("suspended");
    assert!(asked.elapsed() > Duration::from_secs(4), "a server could have had it a moment ago");
    command.resume(&id("acme")).expect("resumed");
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
}

#[test]
fn many_are_added_at_once_and_a_twin_among_them_is_named() {
    let base = Base::new();
    let registry = base.stores().registry;
    let ids: Vec<_> = (0..20_000).map(|n| id(&format!("t{n}"))).collect();
    assert_eq!(registry.removed_before(&ids).expect("readable"), None);
    let added = registry.add_many(&ids).expect("added");
    let lives: std::collections::BTreeSet<_> = added.iter().map(|record| record.incarnation).collect();
    assert_eq!((added.len(), lives.len()), (ids.len(), ids.len()));
    match registry.add_many(&[id("new"), id("T7")]) {
        Err(RegistryError::CaseTwin { id: twin, existing }) => {
            assert_eq!((twin, existing), (id("T7"), id("t7")))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(registry.add_many(&[id("x"), id("X")]), Err(RegistryError::CaseTwin { .. })));
    assert_eq!(registry.get(&id("new")).expect("readable"), None, "all or none");
}

/// Waits for what a process finds out by itself.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let asked = Instant::now();
    while !is_so() {
        assert!(asked.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

/// Whoever watches is told how old the copy is, and whether there is an answer; nobody need make a call for it.
#[test]
fn what_is_known_of_the_database_is_in_the_metrics() {
    let base = Base::new();
    let server = serving(&base);
    let reachable = |digit: u8| server.render().contains(&format!("partywall_state_reachable {digit}\n"));
    assert!(reachable(1) && server.render().contains("partywall_state_age_seconds "), "{}", server.render());
    base.shut();
    until("it is noticed without a call", || reachable(0));
    // Every connection has work in vain.
    for _ in 0..8 {
        server.list().expect_err("nobody gets in");
    }
    base.open_again();
    until("so is the end, on all connections", || reachable(1));
}

fn now() -> u64 {
    crate::clock::Clock::system().unix_seconds()
}

/// The machine on which `tenant add` ran was half an hour behind; an earlier build's command says when a life begins.
#[test]
fn a_life_begins_by_the_databases_clock() {
    let base = Base::new();
    let server = serving(&base);
    let acme = id("acme");
    let stores = base.stores();
    stores.registry.add(&acme).expect("added");
    crate::tenants::remove_tenant(&stores.registry, &stores.vault, std::path::Path::new("/nowhere"), &acme)
        .expect("removed");
    let before = now();
    for wrong in ["- 1800", "+ 1800"] {
        base.sql_as_role(&format!(
            "DELETE FROM partywall.tenant;
             INSERT INTO partywall.tenant (id, state, created_at)
                 SELECT 'acme', 'active', extract(epoch FROM clock_timestamp())::bigint {wrong}"
        ));
        let record = stores.registry.get(&acme).expect("readable").expect("added");
        assert!((before..=now()).contains(&record.created_at), "{record:?} at {before}");
    }
    // Rows that such a command has made before the database said it.
    base.sql("UPDATE partywall.tenant SET created_at = created_at - 1800");
    stores.registry.resume(&acme).expect("seen by all");
    for server in [&server, &serving(&base)] {
        let life = server.life(&acme).expect("active");
        assert!(!life.accepts(Issued::At { time: before - 60, leeway: 30 }), "{life:?}");
        assert!(life.accepts(Issued::At { time: now() + 31, leeway: 30 }), "{life:?}");
    }
}

/// Data that were restored without the schema, into tables that a process had made.
#[test]
fn rows_of_a_backup_keep_their_lives_and_their_secrets() {
    let base = Base::new();
    let stores = base.stores();
    let key = crate::guards::credentials::SecretName::parse("key").expect("a name");
    let [acme, globex] = ["acme", "globex"].map(|name| stores.registry.add(&id(name)).expect("added"));
    stores.vault.set(&acme, &key, "of acme".to_owned().into()).expect("stored");
    crate::tenants::remove_tenant(
        &stores.registry,
        &stores.vault,
        std::path::Path::new("/nowhere"),
        &globex.id,
    )
    .expect("removed");
    let again = stores.registry.add(&globex.id).expect("added again");
    assert!(again.again);
    base.sql(
        "CREATE TABLE public.kept AS SELECT * FROM partywall.tenant;
         DELETE FROM partywall.tenant;
         DELETE FROM partywall.shredded",
    );
    // A session of its own, in which nothing was counted.
    base.sql(
        "INSERT INTO partywall.tenant OVERRIDING SYSTEM VALUE SELECT * FROM public.kept;
         INSERT INTO partywall.format VALUES (1)",
    );
    let stores = base.stores();
    assert_eq!(stores.registry.list().expect("readable"), [acme.clone(), again.clone()]);
    assert_eq!(stores.vault.list(&acme).expect("readable").len(), 1);
    let newer = stores.registry.add(&id("newer")).expect("added");
    assert!(newer.incarnation > again.incarnation && newer.created_at >= again.created_at, "{newer:?}");
}

/// More than the log of changes keeps, and fewer.
#[test]
fn many_that_are_added_at_once_are_learnt() {
    let base = Base::new();
    let server = serving(&base);
    let command = base.stores().registry;
    for (from, to) in [(0, 300), (300, 5300), (5300, 5301)] {
        let ids: Vec<_> = (from..to).map(|n| id(&format!("t{n}"))).collect();
        command.add_many(&ids).expect("added");
        assert_eq!(server.len().expect("readable"), to);
        assert!(ids.iter().all(|id| server.active(id).is_ok()), "{from}");
    }
    let kept = base.sql("SELECT count(*) <= 4096 + 256 FROM partywall.change");
    assert_eq!(kept, [["t"]]);
}
