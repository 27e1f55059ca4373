//! Three gateways that share limits on a Redis Cluster: what one tenant gets over all of them, while one of them is
//! killed, has a wrong clock, or a node of the cluster is killed.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    house::{FAULTY, House, OTHER, Plan},
    redis::cluster,
};

const RATE: u32 = 150;
const SECOND: Duration = Duration::from_secs(1);

/// How calls went.
#[derive(Debug, Default)]
struct Went {
    served: u32,
    refused: u32,
    took: Duration,
}

impl Went {
    /// What was served is what the limit allows in that time, within a tenth.
    #[track_caller]
    fn is_about(&self, rate: u32) {
        let wanted = f64::from(rate) * self.took.as_secs_f64();
        let off = f64::from(self.served) / wanted - 1.0;
        assert!(off.abs() <= 0.1, "{self:?} and not about {wanted:.0}");
    }
}

/// Calls for a tenant at all of the houses for that long, two callers at each.
fn calls(houses: &[&House], tenant: &str, time: Duration, pause: Duration) -> Went {
    let start = Instant::now();
    let one = |house: &House| {
        let mut went = Went::default();
        while start.elapsed() < time {
            let answer = house.call(tenant, "whoami", &json!({}));
            match answer.status {
                429 => went.refused += 1,
                _ => {
                    assert!(answer.is_ok(), "{answer:?}");
                    went.served += 1;
                }
            }
            thread::sleep(pause);
        }
        went
    };
    let mut sum = Went::default();
    thread::scope(|scope| {
        let callers: Vec<_> =
            houses.iter().flat_map(|house| [house, house]).map(|house| scope.spawn(|| one(house))).collect();
        for caller in callers {
            let went = caller.join().unwrap();
            sum.served += went.served;
            sum.refused += went.refused;
        }
    });
    sum.took = start.elapsed();
    sum
}

/// One tenant goes over its limit at all of the houses, while the other keeps to it and is always served.
fn flood(houses: &[&House], time: Duration) -> Went {
    thread::scope(|scope| {
        let calm = scope.spawn(|| calls(houses, OTHER, time, Duration::from_millis(100)));
        let loud = calls(houses, FAULTY, time, Duration::from_millis(3));
        let calm = calm.join().unwrap();
        assert!(calm.refused == 0 && calm.served > 10, "the neighbour is served: {calm:?}");
        assert!(loud.refused > 0, "{loud:?}");
        loud
    })
}

fn three(shared: &str) -> [House; 3] {
    let capacity = format!("requests_per_second = {RATE}\nburst = 30\nconcurrent_requests = 100\n{shared}");
    let plan = Plan {
        server: "refusal_delay = \"0s\"",
        // A plan is made once for each test.
        capacity: Some(String::leak(capacity)),
        ..Plan::default()
    };
    let first = House::furnished(&plan);
    let [second, third] = [first.copy(), first.copy()];
    [first, second, third]
}

#[test]
fn the_limit_holds_while_a_gateway_and_a_node_of_the_cluster_are_killed() {
    let mut nodes = cluster();
    let urls = nodes.each_ref().map(|node| node.url()).join(",");
    let [mut one, mut two, mut three] =
        three(&format!("[shared]\nredis = \"{urls}\"\ncluster = true\nreplicas = 3\ntimeout = \"500ms\"\n"));
    one.start();
    two.start();
    // What a process thinks the time is plays no part.
    three.start_with(&["faketime", "--exclude-monotonic", "-f", "+1h"]);
    let _burst = flood(&[&one, &two, &three], SECOND);
    flood(&[&one, &two, &three], 3 * SECOND).is_about(RATE);
    // One gateway does not get more than all.
    flood(&[&one], 2 * SECOND).is_about(RATE);

    two.kill();
    flood(&[&one, &three], 3 * SECOND).is_about(RATE);

    two.start();
    for node in &mut nodes {
        // One after the other, so that it is also the one that has the tenant's bucket.
        node.kill();
        let _change = flood(&[&one, &two, &three], SECOND);
        flood(&[&one, &two, &three], 2 * SECOND).is_about(RATE);
    }
    for house in [&one, &two, &three] {
        assert_eq!(
            house.said().matches("does not answer").count(),
            1,
            "one line for the outage: {}",
            house.said()
        );
    }
}

/// The guard is needed.
#[test]
fn gateways_that_share_nothing_serve_three_times_the_limit() {
    let mut houses = three("");
    for house in &mut houses {
        house.start();
    }
    let houses = houses.each_ref();
    let _burst = flood(&houses, SECOND);
    flood(&houses, 3 * SECOND).is_about(3 * RATE);
}

pub(super) fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            fs::set_permissions(&target, entry.metadata().unwrap().permissions()).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
