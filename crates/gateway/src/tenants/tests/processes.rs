//! The registry as several processes and threads see it at once.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::FileExt as _,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::*;

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
        .args(["--ignored", "--exact", "--nocapture", "tenants::tests::processes::second_process"])
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

/// Lets the readers go on until one of them has counted once more.
fn wait_for_more(counter: &AtomicU64) {
    let before = counter.load(Ordering::SeqCst);
    while counter.load(Ordering::SeqCst) == before {
        std::thread::yield_now();
    }
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
                            assert!(before.is_multiple_of(2) || before != after, "a stale Ok");
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
        for _ in 0..80 {
            command.suspend(&acme).expect("suspended");
            phase.fetch_add(1, Ordering::SeqCst);
            wait_for_more(&denied);
            phase.fetch_add(1, Ordering::SeqCst);
            command.resume(&acme).expect("resumed");
            wait_for_more(&admitted);
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
    other.execute_batch("BEGIN IMMEDIATE; UPDATE tenant SET state = 'suspended'").expect("changed");
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
    let header = fs::File::open(&path).expect("opened");
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
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
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
    assert_eq!(Registry::open(&data).expect("a registry").len().expect("readable"), 8);
}
