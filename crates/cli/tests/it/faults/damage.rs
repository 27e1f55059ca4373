//! Files that are missing, unreadable, cut off, garbled or tampered with, at start and while serving.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde_json::json;

use super::{
    house::{FAULTY, House, OTHER, Plan, wait_until},
    neighbour::Neighbour,
    upstream::Upstream,
};
use crate::support::fails;

const FAILED: &str = "The tool failed. The operator's log says why.";

/// Damages a file in one way.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 5] = [
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("empty", |path| fs::write(path, "").unwrap()),
    ("cut off", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("a garbled head", |path| {
        let mut bytes = fs::read(path).unwrap();
        let end = bytes.len().min(100);
        bytes[..end].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(path, &bytes).unwrap();
    }),
    ("garbage", |path| fs::write(path, [0xff; 5000]).unwrap()),
];

/// A file that is put back as it was.
struct Kept {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

impl Kept {
    fn of(path: PathBuf) -> Self {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        Self { bytes: fs::read(&path).unwrap(), path, mode }
    }

    /// A new file with the old content.
    fn restore(&self) {
        let _nothing_there = fs::remove_file(&self.path).or_else(|_| fs::remove_dir_all(&self.path));
        self.rewrite();
    }

    /// The old content in the same file.
    fn rewrite(&self) {
        fs::write(&self.path, &self.bytes).unwrap();
        fs::set_permissions(&self.path, fs::Permissions::from_mode(self.mode)).unwrap();
    }
}

/// What everybody shares is looked at before anything is served, is not changed, and the error says what to do.
#[test]
fn a_damaged_store_is_refused_at_start() {
    let house = House::furnished(&Plan::default());
    for name in ["tenants.sqlite", "vault.sqlite", "master.key"] {
        let kept = Kept::of(house.data(name));
        for (what, damage) in DAMAGES {
            damage(&kept.path);
            let found = fs::read(&kept.path).ok();
            let error = fails(house.path(), &["serve", "--check"], "");
            let helps = ["backup", "permissions", "chmod", "give the right one"];
            assert!(error.contains(name), "{name}, {what}: {error}");
            assert!(helps.iter().any(|help| error.contains(help)), "{name}, {what}: {error}");
            assert_eq!(fs::read(&kept.path).ok(), found, "{name}, {what}: it was changed");
            kept.restore();
        }
        house.run(&["serve", "--check"]);
    }
    // A key that is missing, another one, and one that others may read.
    let key = Kept::of(house.data("master.key"));
    fs::remove_file(&key.path).unwrap();
    assert!(fails(house.path(), &["serve", "--check"], "").contains("restore the key from a backup"));
    assert!(!key.path.exists(), "no new key is made for an old vault");
    key.restore();
    let mut other = key.bytes.clone();
    other[0] = if other[0] == b'0' { b'1' } else { b'0' };
    fs::write(&key.path, &other).unwrap();
    assert!(fails(house.path(), &["serve", "--check"], "").contains("not this vault's"));
    key.restore();
    fs::set_permissions(&key.path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fails(house.path(), &["serve", "--check"], "").contains("chmod 600"));
    key.restore();
    house.run(&["serve", "--check"]);
}

/// While nobody can tell who is active, nobody is let in; once the file is good again all goes on.
#[test]
fn a_registry_that_goes_bad_lets_nobody_in_until_it_is_good_again() {
    let house = House::open(&Plan::default());
    let neighbour = Neighbour::of(&house, false);
    let kept = Kept::of(house.data("tenants.sqlite"));
    house.growth("a damaged registry", 32, || {
        for (what, damage) in &DAMAGES[1..] {
            damage(&kept.path);
            let error = fails(house.path(), &["tenant", "suspend", FAULTY], "");
            assert!(error.contains("backup"), "{what}: {error}");
            if *what == "cut off" {
                // The head says that nothing was changed, and so what is known goes on to hold.
                neighbour.is_undisturbed(&house);
            } else {
                for tenant in [FAULTY, OTHER] {
                    assert_eq!(house.call(tenant, "whoami", &json!({})).status, 401, "{what}");
                }
            }
            kept.rewrite();
            wait_until("the registry is read again", || house.call(FAULTY, "whoami", &json!({})).is_ok());
            neighbour.is_undisturbed(&house);
        }
    });
}

#[test]
fn one_tenants_damaged_data_is_its_own() {
    let mut house = House::furnished(&Plan::default());
    let kept = Kept::of(house.file_of(FAULTY));
    for (what, damage) in DAMAGES {
        // At start.
        damage(&kept.path);
        house.start();
        let neighbour = Neighbour::of(&house, false);
        house.growth(&format!("a tenant's file that is {what}"), 32, || {
            neighbour.is_undisturbed_during(&house, |another_round| {
                for _ in 0..3 {
                    assert_eq!(house.call(FAULTY, "page", &json!({})).tool_error(), FAILED, "{what}");
                    let comment = json!({ "ticket_id": 1, "body": "x" });
                    assert_eq!(house.call(FAULTY, "add_comment", &comment).tool_error(), FAILED, "{what}");
                }
                assert!(house.call(FAULTY, "whoami", &json!({})).is_ok(), "what needs no data goes on");
                another_round();
            });
            // Put back while serving.
            kept.restore();
            let page = house.call(FAULTY, "page", &json!({}));
            assert!(page.is_ok(), "{what}: no restart is needed: {page:?}");
            // And again while serving, as another file under the same name and in the open file itself.
            fs::remove_file(&kept.path).unwrap();
            fs::write(&kept.path, &kept.bytes).unwrap();
            damage(&kept.path);
            let answer = house.call(FAULTY, "page", &json!({}));
            assert_eq!(answer.tool_error(), FAILED, "{what}, while serving");
            kept.restore();
            assert!(house.call(FAULTY, "page", &json!({})).is_ok(), "{what}");
            neighbour.is_undisturbed_during(&house, |another_round| {
                damage(&kept.path);
                // The pages that are in memory may be shown; nothing wrong is.
                let answer = house.call(FAULTY, "list_tickets", &json!({}));
                assert!(
                    answer.body.contains("of acme") || answer.tool_error() == FAILED,
                    "{what}: {answer:?}"
                );
                another_round();
            });
        });
        house.kill();
        for side in ["-wal", "-shm"] {
            let path = PathBuf::from(format!("{}{side}", kept.path.display()));
            let _nothing_there = fs::remove_file(path);
        }
        kept.restore();
    }
}

/// One tenant's file in the place of another's is no way to read it.
#[test]
fn a_neighbours_file_under_the_own_name_is_refused() {
    let mut house = House::furnished(&Plan::default());
    let (own, theirs) = (house.file_of(FAULTY), house.file_of(OTHER));
    fs::copy(&theirs, &own).unwrap();
    house.start();
    let neighbour = Neighbour::of(&house, false);
    assert_eq!(house.call(FAULTY, "page", &json!({})).tool_error(), FAILED);
    fs::remove_file(&own).unwrap();
    std::os::unix::fs::symlink(&theirs, &own).unwrap();
    assert_eq!(house.call(FAULTY, "page", &json!({})).tool_error(), FAILED);
    neighbour.is_undisturbed(&house);
}

/// A vault row that was changed is one tenant's trouble; a vault that is gone is everybody's, for secrets alone.
#[test]
fn a_tampered_vault_gives_out_nothing() {
    let upstream = Upstream::start();
    let house = House::open(&Plan { upstream: Some(upstream.address), ..Plan::default() });
    let neighbour = Neighbour::of(&house, true);
    let without_secrets = Neighbour::of(&house, false);
    let customer = |tenant| house.call(tenant, "customer_now", &json!({ "customer_id": "c1" }));
    assert!(customer(FAULTY).is_ok());
    let kept = Kept::of(house.data("vault.sqlite"));
    let tampering = [
        "UPDATE secret SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB) WHERE tenant = 'acme'",
        "UPDATE secret SET sealed = x'' WHERE tenant = 'acme'",
        "UPDATE secret SET version = version + 1 WHERE tenant = 'acme'",
        "UPDATE secret SET sealed = (SELECT sealed FROM secret WHERE tenant = 'globex') WHERE tenant = 'acme'",
        "UPDATE tenant_key SET sealed = (SELECT sealed FROM tenant_key WHERE tenant = 'globex') WHERE tenant = 'acme'",
        "DELETE FROM tenant_key WHERE tenant = 'acme'",
    ];
    house.growth("a tampered vault", 32, || {
        for statement in tampering {
            let changed = Connection::open(&kept.path).unwrap().execute(statement, []).unwrap();
            assert_eq!(changed, 1, "{statement}");
            neighbour.is_undisturbed_during(&house, |another_round| {
                assert_eq!(customer(FAULTY).tool_error(), FAILED, "{statement}");
                assert!(house.call(FAULTY, "page", &json!({})).is_ok());
                another_round();
            });
            kept.rewrite();
            assert!(customer(FAULTY).is_ok(), "{statement}: {}", house.audit(FAULTY));
        }
        for (what, damage) in &DAMAGES[1..] {
            damage(&kept.path);
            for tenant in [FAULTY, OTHER] {
                assert_eq!(customer(tenant).tool_error(), FAILED, "{what}");
            }
            without_secrets.is_undisturbed(&house);
            kept.rewrite();
            assert!(customer(FAULTY).is_ok(), "{what}: {}", house.audit(FAULTY));
        }
        // The key was read at start.
        fs::remove_file(house.data("master.key")).unwrap();
        neighbour.is_undisturbed(&house);
    });
}
