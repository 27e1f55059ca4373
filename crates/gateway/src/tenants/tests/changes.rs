//! The log of changes: one change is read by itself, and whatever does not fit makes everything be read again.

use std::sync::atomic::Ordering;

use rusqlite::Connection;

use super::*;
use crate::{
    admit::Incarnation,
    clock::Clock,
    tenants::{file::FileTenants, registry::Kept},
};

fn reloads(registry: &Registry) -> u64 {
    registry.file().index().reloads.load(Ordering::Relaxed)
}

fn raw(dir: &TempDir) -> Connection {
    Connection::open(dir.path().join("tenants.sqlite")).expect("opened")
}

#[test]
fn a_change_of_one_tenant_reads_that_tenant_only() {
    let dir = folder();
    let (server, command) = (open(&dir), open(&dir));
    let ids: Vec<_> = (0..2_000).map(|n| id(&format!("t{n}"))).collect();
    let lives: Vec<Incarnation> =
        command.add_many(&ids).expect("added").into_iter().map(|record| record.incarnation).collect();
    for (id, life) in ids.iter().zip(&lives) {
        assert_eq!(server.active(id), Ok(*life));
    }
    for (id, life) in ids.iter().zip(&lives).take(50) {
        command.suspend(id).expect("suspended");
        assert_eq!(server.active(id), Err(TenantDenial::Suspended));
        command.resume(id).expect("resumed");
        assert_eq!(server.active(id), Ok(*life));
        command.begin_removal(id).expect("begun");
        command.finish_removal(id).expect("finished");
        let again = command.add(id).expect("added again").incarnation;
        assert_eq!(server.active(id), Ok(again));
        command.begin_removal(id).expect("begun");
        command.finish_removal(id).expect("finished");
        assert_eq!(server.active(id), Err(TenantDenial::Unknown));
    }
    assert_eq!(server.len().expect("readable"), 1_950);
    assert_eq!(reloads(&server), 0);
}

#[test]
fn changes_made_by_hand_are_seen_too() {
    let dir = folder();
    let server = open(&dir);
    let acme = server.add(&id("acme")).expect("added");
    assert!(server.active(&acme.id).is_ok());
    let hand = raw(&dir);
    hand.execute_batch("UPDATE tenant SET state = 'suspended'").expect("changed");
    assert_eq!(server.active(&acme.id), Err(TenantDenial::Suspended));
    hand.execute_batch("UPDATE tenant SET id = 'ACME', state = 'active'").expect("changed");
    assert_eq!(server.active(&acme.id), Err(TenantDenial::Unknown));
    assert_eq!(server.active(&id("ACME")), Ok(acme.incarnation));
    hand.execute_batch("DELETE FROM tenant").expect("changed");
    assert_eq!(server.active(&id("ACME")), Err(TenantDenial::Unknown));
    assert_eq!(reloads(&server), 0);
}

#[test]
fn a_reader_that_is_far_behind_reads_everything() {
    let dir = folder();
    let (server, command) = (open(&dir), open(&dir));
    let first = command.add(&id("first")).expect("added");
    assert!(server.active(&first.id).is_ok());
    command.suspend(&first.id).expect("suspended");
    let ids: Vec<_> = (0..5_000).map(|n| id(&format!("t{n}"))).collect();
    command.add_many(&ids).expect("added");
    assert_eq!(server.active(&first.id), Err(TenantDenial::Suspended));
    assert_eq!(reloads(&server), 1);
    let kept: i64 =
        raw(&dir).query_row("SELECT count(*) FROM change", [], |row| row.get(0)).expect("counted");
    assert_eq!(kept, 4096);
    command.resume(&first.id).expect("resumed");
    assert!(server.active(&first.id).is_ok());
    assert_eq!(reloads(&server), 1, "from there on one by one again");
}

#[test]
fn another_history_with_the_same_numbers_is_noticed() {
    let dir = folder();
    let server = open(&dir);
    let (acme, globex) = (id("acme"), id("globex"));
    server.add_many(&[acme.clone(), globex.clone()]).expect("added");
    let path = dir.path().join("tenants.sqlite");
    let backup = fs::read(&path).expect("readable");
    server.suspend(&globex).expect("suspended");
    assert_eq!(server.active(&globex), Err(TenantDenial::Suspended));
    // The backup is put back into the same file, and as many changes are made as the server has seen since.
    fs::write(&path, &backup).expect("put back");
    let hand = raw(&dir);
    hand.execute_batch("UPDATE tenant SET state = 'suspended' WHERE id = 'acme'").expect("changed");
    hand.execute_batch("UPDATE tenant SET state = 'removing' WHERE id = 'acme'").expect("changed");
    assert_eq!(server.active(&acme), Err(TenantDenial::Removed));
    assert!(server.active(&globex).is_ok(), "as in the backup");
    assert_eq!(reloads(&server), 1);
}

/// What a restored registry lost is not given out again: data under a life's number belongs to that life alone.
#[test]
fn a_restored_registry_gives_no_life_out_twice() {
    let dir = folder();
    let registry = open(&dir);
    registry.add(&id("acme")).expect("added");
    let path = dir.path().join("tenants.sqlite");
    let backup = fs::read(&path).expect("readable");
    let lost = registry.add(&id("newco")).expect("added").incarnation;
    fs::write(&path, &backup).expect("put back");
    let again = registry.add(&id("newco")).expect("added").incarnation;
    assert!(again > lost, "{again:?} after {lost:?}");
}

/// What a credential has to say where the id had a life before; in a first life there is nothing to be told apart.
#[test]
fn a_credential_of_an_earlier_life_is_none_of_this_one() {
    let dir = folder();
    let registry = open(&dir);
    let acme = id("acme");
    let at = |time| Issued::At { time, leeway: 30 };
    let first = registry.add(&acme).expect("added");
    let now = first.created_at;
    let life = registry.life(&acme).expect("active");
    assert!(
        life.accepts(Issued::Unknown)
            && life.accepts(at(now - 1000))
            && life.accepts(Issued::For(first.incarnation))
    );
    registry.begin_removal(&acme).expect("begun");
    registry.finish_removal(&acme).expect("finished");
    let second = registry.add(&acme).expect("added");
    for registry in [&registry, &open(&dir)] {
        let life = registry.life(&acme).expect("active");
        assert!(
            life.accepts(Issued::For(second.incarnation)) && !life.accepts(Issued::For(first.incarnation))
        );
        assert!(!life.accepts(Issued::Unknown) && !life.accepts(at(second.created_at + 30)));
        assert!(life.accepts(at(second.created_at + 31)));
    }
}

/// The clock was put back before the id was given out again: the life's number tells that it began later.
#[test]
fn a_credential_of_an_earlier_life_is_none_of_one_that_began_by_a_clock_that_was_put_back() {
    let dir = folder();
    let registry = open(&dir);
    let acme = id("acme");
    let first = registry.add(&acme).expect("added");
    registry.begin_removal(&acme).expect("begun");
    registry.finish_removal(&acme).expect("finished");
    let behind = std::time::UNIX_EPOCH + std::time::Duration::from_secs(first.created_at - 1800);
    let wrong = FileTenants::open(dir.path()).expect("a registry").with_clock(Clock::from_fn(move || behind));
    let registry = Registry(Kept::File(Box::new(wrong)));
    assert_eq!(registry.add(&acme).expect("added").created_at, first.created_at - 1800);
    let life = registry.life(&acme).expect("active");
    assert!(!life.accepts(Issued::At { time: first.created_at - 60, leeway: 30 }), "{life:?}");
    assert!(!life.accepts(Issued::At { time: first.created_at, leeway: 0 }), "{life:?}");
}

/// What a data folder of the first format has.
const FIRST_FORMAT: &str = "
    DROP TRIGGER tenant_added;
    DROP TRIGGER tenant_changed;
    DROP TRIGGER tenant_removed;
    DROP TABLE change;
    DROP TRIGGER tenant_gone;
    DROP TABLE removed;
    PRAGMA user_version = 1;";

#[test]
fn a_registry_of_the_first_format_is_brought_up_to_date_in_place() {
    let dir = folder();
    let before = open(&dir).add_many(&[id("acme"), id("globex")]).expect("added");
    open(&dir).suspend(&id("globex")).expect("suspended");
    raw(&dir).execute_batch(FIRST_FORMAT).expect("made old");
    let (server, command) = (open(&dir), open(&dir));
    let after = server.list().expect("readable");
    assert_eq!(after.first(), before.first());
    assert_eq!(server.active(&id("globex")), Err(TenantDenial::Suspended));
    command.resume(&id("globex")).expect("resumed");
    assert!(server.active(&id("globex")).is_ok());
    assert_eq!(reloads(&server), 0);
    let format: i64 = raw(&dir).pragma_query_value(None, "user_version", |row| row.get(0)).expect("read");
    assert_eq!(format, 3);
}

#[test]
fn processes_that_open_an_old_registry_at_once_upgrade_it_once() {
    let dir = folder();
    open(&dir).add(&id("acme")).expect("added");
    raw(&dir).execute_batch(FIRST_FORMAT).expect("made old");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(open(&dir).active(&id("acme")).is_ok()));
        }
    });
}

#[test]
fn without_a_log_every_change_is_still_seen() {
    let dir = folder();
    let (server, command) = (open(&dir), open(&dir));
    command.add(&id("acme")).expect("added");
    assert!(server.active(&id("acme")).is_ok());
    // A backup of the first format was put back while the server runs.
    raw(&dir).execute_batch(FIRST_FORMAT).expect("made old");
    for _ in 0..3 {
        command.suspend(&id("acme")).expect("suspended");
        assert_eq!(server.active(&id("acme")), Err(TenantDenial::Suspended));
        command.resume(&id("acme")).expect("resumed");
        assert!(server.active(&id("acme")).is_ok());
    }
}
