//! One node of a cluster dies or hangs under load.

use super::{server::cluster, *};

const RATE: u32 = 60;

/// Tenants of each node.
async fn tenants_by_node(url: &str, prefix: &str) -> [Vec<String>; 3] {
    let mut by_node: [Vec<String>; 3] = Default::default();
    let mut server = look(url).await;
    for n in 0.. {
        let id = format!("t{n}");
        let slot: u16 = redis::cmd("CLUSTER")
            .arg("KEYSLOT")
            .arg(key(prefix, &tenant(&id), Incarnation(1)))
            .query_async(&mut server)
            .await
            .unwrap();
        // As `redis-cli --cluster create` shares them out.
        let node = match slot {
            0..=5460 => 0,
            5461..=10922 => 1,
            _ => 2,
        };
        by_node[node].push(id);
        if by_node.iter().all(|tenants| tenants.len() >= 5) {
            break;
        }
    }
    by_node
}

/// Has one node fail under load, in one way; what the tenants of the others notice.
async fn a_node_fails(fail: impl FnOnce(&mut server::Server)) {
    let mut nodes = cluster();
    let (url, prefix) = (nodes.each_ref().map(server::Server::url).join(","), prefix());
    let lines = "timeout = \"500ms\"\ncluster = true";
    let processes = [(); 3].map(|()| open(&url, &prefix, lines).unwrap());
    let [lost, others @ ..] = tenants_by_node(&nodes[1].url(), &prefix).await;
    let all = |ids: &[String]| ids.iter().flat_map(|id| rates(&processes, id, RATE, 6)).collect::<Vec<_>>();
    let (lost, others) = (all(&lost[..5]), all(&others.concat()[..10]));
    let both = async |time| tokio::join!(flood(&lost, time), flood(&others, time));
    let _burst = both(SECOND).await;
    fail(&mut nodes[0]);
    let _change = both(2 * SECOND).await;
    // The cluster has noticed by now, or has not; it makes no difference to the tenants.
    let is_alone = |rate: &Arc<SharedRate>| rate.lease().is_alone();
    let (lost_went, others_went) = both(3 * SECOND).await;
    let per_tenant = |went: &Went, tenants| Went { admitted: went.admitted / tenants, ..*went };
    per_tenant(&others_went, 10).is_about(RATE);
    per_tenant(&lost_went, 5).is_about(RATE);
    assert!(others_went.slowest < SECOND, "{others_went:?}");
    let alone = others.iter().filter(|rate| is_alone(rate)).count();
    assert_eq!(alone, 0, "of {} meters whose node is there", others.len());
    assert!(lost.iter().all(is_alone), "their node is gone");
}

#[tokio::test]
async fn a_node_that_is_killed_is_not_noticed_by_tenants_of_the_others() {
    a_node_fails(server::Server::kill).await;
}

#[tokio::test]
async fn a_node_that_hangs_is_not_noticed_by_tenants_of_the_others() {
    a_node_fails(|node| node.signal("-STOP")).await;
}
