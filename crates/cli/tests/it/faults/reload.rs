//! A storm of SIGHUPs with good, bad and changed configurations, while a tenant is suspended and resumed.

use std::{fs, sync::atomic::AtomicBool, sync::atomic::Ordering::SeqCst, thread};

use partywall_gateway::tenants::Registry;
use partywall_model::TenantId;
use serde_json::json;

use super::{
    house::{FAULTY, House, Plan, wait_until},
    neighbour::Neighbour,
};

const STORM: usize = 200;

/// Puts a configuration into place at once, as editors and deployments do.
fn put(house: &House, text: &str) {
    let draft = house.path().join("draft.toml");
    fs::write(&draft, text).unwrap();
    fs::rename(&draft, house.config()).unwrap();
    house.signal("-HUP");
}

#[test]
fn a_storm_of_reloads_changes_nothing_that_was_not_changed() {
    let mut house = House::open(&Plan::default());
    let neighbour = Neighbour::of(&house, false);
    let registry = Registry::open(&house.path().join("data")).unwrap();
    let acme = TenantId::parse(FAULTY).unwrap();
    let good = fs::read_to_string(house.config()).unwrap();
    let changed = format!("{good}\n[capacity.tenant.{FAULTY}]\nreply_bytes = 2000\n");
    let bad = good.replace("burst = 1000000", "burst = 0");
    assert_ne!(bad, good);
    let page = || house.call(FAULTY, "page", &json!({}));
    let over = AtomicBool::new(false);
    house.growth(&format!("{STORM} reloads"), 96, || {
        neighbour.is_undisturbed_during(&house, |another_round| {
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        registry.suspend(&acme).unwrap();
                        let answer = house.call(FAULTY, "whoami", &json!({}));
                        assert_eq!(answer.status, 401, "refused from the next request on: {answer:?}");
                        registry.resume(&acme).unwrap();
                        let answer = house.call(FAULTY, "whoami", &json!({}));
                        assert!(answer.is_ok(), "served from the next request on: {answer:?}");
                    }
                });
                for n in 0..STORM {
                    put(&house, [&good, &bad, &changed][n % 3]);
                }
                over.store(true, SeqCst);
            });
            another_round();
        });
    });
    // What was written last holds in the end.
    put(&house, &changed);
    wait_until("the changed limit holds", || page().body.contains("too large"));
    let heard = house.said().len();
    put(&house, &bad);
    wait_until("the error is told", || house.said()[heard..].contains("capacity.burst"));
    assert!(page().body.contains("too large"), "a bad configuration changes nothing");
    put(&house, &good);
    wait_until("the limit is as before", || page().is_ok());
    neighbour.is_undisturbed(&house);
    assert!(house.is_alive());
}
