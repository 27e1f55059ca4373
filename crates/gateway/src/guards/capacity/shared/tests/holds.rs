//! What the limit is over several processes, and that it needs the shared bucket to be that.

use super::*;

const RATE: u32 = 300;

/// Floods three processes as one tenant, while another one keeps to its limit at each of them.
async fn three_processes(processes: &[Arc<SharedLimits>]) {
    let loud = rates(processes, "acme", RATE, 60);
    let calm = rates(processes, "globex", RATE, 60);
    let _burst = flood(&loud, SECOND).await;
    let (loud, calm) = tokio::join!(
        flood(&loud, 3 * SECOND),
        calls(&calm, 3 * SECOND, Duration::from_millis(20), Duration::ZERO)
    );
    loud.is_about(RATE);
    assert!(loud.refused > 100, "{loud:?}");
    assert!(calm.refused == 0 && calm.admitted > 100, "the neighbour is served: {calm:?}");
    for process in processes {
        assert!(process.render().contains("partywall_shared_limits_local_calls_total 0\n"));
    }
}

#[tokio::test]
async fn three_processes_hold_one_tenants_rate_and_the_neighbour_is_served() {
    let (url, prefix) = (test_server(), prefix());
    three_processes(&[(); 3].map(|()| process(&url, &prefix))).await;
}

#[tokio::test]
async fn the_same_holds_on_a_cluster() {
    let (url, prefix) = (test_cluster(), prefix());
    let lines = "timeout = \"1s\"\ncluster = true";
    three_processes(&[(); 3].map(|()| open(&url, &prefix, lines).unwrap())).await;
}

/// The guard is needed: what has a bucket of its own gives each process the whole limit.
#[tokio::test]
async fn without_a_common_bucket_three_processes_admit_three_times_the_rate() {
    let url = test_server();
    let processes = [(); 3].map(|()| process(&url, &prefix()));
    let alone = rates(&processes, "acme", RATE, 60);
    let _burst = flood(&alone, SECOND).await;
    flood(&alone, 3 * SECOND).await.is_about(3 * RATE);
}

#[tokio::test]
async fn who_keeps_to_the_limit_is_not_refused_and_few_questions_are_asked() {
    let (url, prefix) = (test_server(), prefix());
    let processes = [(); 3].map(|()| process(&url, &prefix));
    let rates = rates(&processes, "acme", 6000, 6000);
    // Three callers that pause for two milliseconds or so stay well below the limit.
    let went = calls(&rates, 2 * SECOND, Duration::from_millis(1), SECOND).await;
    assert!(went.refused == 0 && went.admitted > 100, "{went:?}");
    let flooded = flood(&rates, 2 * SECOND).await;
    // A lease is good for a tenth of a second, however many calls that are.
    let most = (100.0 * (went.took + flooded.took).as_secs_f64()) as u32;
    for process in &processes {
        let text = process.render();
        let asked = text.lines().find_map(|line| {
            line.strip_prefix("partywall_shared_limits_questions_total{result=\"answered\"} ")
        });
        let asked: u32 = asked.unwrap().parse().unwrap();
        assert!(asked < most, "{asked} questions for {} calls", went.admitted + flooded.admitted);
    }
}

/// The wall clock of a process plays no part: buckets have the server's. When that one is set back, nothing stops.
#[tokio::test]
async fn a_servers_clock_that_was_set_back_neither_stops_nor_opens_the_bucket() {
    let (url, prefix) = (test_server(), prefix());
    let rates = rates(&[process(&url, &prefix)], "acme", RATE, 60);
    let _burst = flood(&rates, SECOND).await;
    let mut server = look(&url).await;
    let key = key(&prefix, &tenant("acme"), Incarnation(1));
    let at: f64 = redis::cmd("HGET").arg(&key).arg("at").query_async(&mut server).await.unwrap();
    let an_hour_on = format!("{:.0}", at + 3.6e9);
    let _: () =
        redis::cmd("HSET").arg(&key).arg("at").arg(an_hour_on).query_async(&mut server).await.unwrap();
    let went = flood(&rates, 2 * SECOND).await;
    went.is_about(RATE);
}

#[tokio::test]
async fn a_changed_limit_holds_in_the_bucket_that_is_there() {
    let (url, prefix) = (test_server(), prefix());
    let shared = process(&url, &prefix);
    let before = shared.rate(&tenant("acme"), Incarnation(1), &limits(RATE, 60), None);
    let _burst = flood(std::slice::from_ref(&before), SECOND).await;
    let same = shared.rate(&tenant("acme"), Incarnation(1), &limits(RATE, 60), Some(&before));
    assert!(Arc::ptr_eq(&before, &same));
    let half = shared.rate(&tenant("acme"), Incarnation(1), &limits(RATE / 2, 60), Some(&before));
    let went = flood(&[half], 2 * SECOND).await;
    went.is_about(RATE / 2);
}
