//! A full disk: writes are refused and say so, reads go on, and writes go on once there is room.

use std::{fs, io::Write, path::PathBuf, process::Command};

use serde_json::json;

use super::{
    house::{FAULTY, House, Plan, wait_until},
    neighbour::Neighbour,
};

const FULL: &str = "The storage limit is reached. Nothing was written; reading still works.";

/// A small disk of its own, in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf, size: &str) -> Self {
        let options = format!("size={size}");
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        let done = done.unwrap();
        assert!(
            done.status.success(),
            "this test mounts a small disk and must be allowed to (run it as root): {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Self(path)
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut filler =
            fs::OpenOptions::new().create(true).append(true).open(self.0.join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Files on it may still be open for a moment; it goes when they are closed.
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_and_nothing_else() {
    let mut house = House::empty(&Plan::default());
    // The tenants' files alone are on it.
    fs::create_dir_all(house.data("tenants")).unwrap();
    let disk = Disk::mount(house.data("tenants"), "16m");
    house.furnish_all();
    house.furnish("initech");
    house.start();
    let neighbour = Neighbour::of(&house, false);
    let reader = Neighbour::reading(&house);
    assert!(house.call(FAULTY, "page", &json!({})).is_ok());
    let mut written = Vec::new();
    let mut refused = Vec::new();
    house.growth("a full disk", 64, || {
        for round in 0..3 {
            reader.is_undisturbed_during(&house, |another_round| {
                disk.fill();
                // A log that is there already may have room for a while.
                for n in 0..200 {
                    let body = format!("{round}-{n}-{}", "x".repeat(100_000));
                    let answer = house.call(FAULTY, "add_comment", &json!({ "ticket_id": 1, "body": body }));
                    if answer.is_ok() {
                        written.push(body);
                        assert!(refused.is_empty() || round > 0, "room came from nowhere");
                        continue;
                    }
                    assert_eq!(answer.tool_error(), FULL, "{}", house.audit(FAULTY));
                    refused.push(body);
                    if refused.len() % 5 == 0 {
                        break;
                    }
                }
                assert!(!refused.is_empty(), "the disk was never full");
                let page = house.call(FAULTY, "page", &json!({}));
                assert!(page.is_ok(), "reads go on: {page:?} {}", house.audit(FAULTY));
                another_round();
            });
            if round == 0 {
                // A file that nobody has opened since the start needs room for its working files, and says so.
                let first = house.call("initech", "page", &json!({}));
                let why = house.audit("initech");
                assert!(first.is_ok() || why.contains("the disk is full"), "{first:?} {why}");
            }
            disk.free();
            let answer =
                house.call(FAULTY, "add_comment", &json!({ "ticket_id": 1, "body": format!("{round}") }));
            assert!(answer.is_ok(), "there is room again: {answer:?}");
            written.push(format!("{round}"));
            neighbour.is_undisturbed(&house);
        }
    });
    house.kill();
    let found = super::kill::comments(&house.file_of(FAULTY));
    assert_eq!(found, written, "what was acknowledged is there, and nothing that was refused");
    drop(disk);
}

/// The usual case: everything is on one disk. What a caller is told of a write is what happened to it.
#[test]
fn on_one_full_disk_nobody_is_told_that_a_write_happened_which_did_not() {
    let mut house = House::empty(&Plan::default());
    fs::create_dir_all(house.data("")).unwrap();
    let disk = Disk::mount(house.data(""), "16m");
    house.furnish_all();
    house.start();
    let reader = Neighbour::reading(&house);
    let (mut written, mut refused) = (Vec::new(), 0);
    disk.fill();
    for n in 0..400 {
        let body = format!("{n}-{}", "x".repeat(20_000));
        let answer = house.call(FAULTY, "add_comment", &json!({ "ticket_id": 1, "body": body }));
        if answer.is_ok() {
            written.push(body);
            continue;
        }
        let told = answer.tool_error();
        if told.starts_with("The call was carried out") {
            written.push(body);
            continue;
        }
        assert!(told == FULL || told.contains("so nothing was changed"), "{told}");
        refused += 1;
        if refused == 40 {
            break;
        }
    }
    assert_eq!(refused, 40, "the disk was full");
    reader.is_undisturbed(&house);
    disk.free();
    // A log that could not be opened is looked at again after a second.
    let room = json!({ "ticket_id": 1, "body": "room" });
    wait_until("there is room again", || house.call(FAULTY, "add_comment", &room).is_ok());
    written.push("room".to_owned());
    house.kill();
    assert_eq!(super::kill::comments(&house.file_of(FAULTY)), written);
    house.run(&["audit", "verify"]);
    drop(disk);
}
