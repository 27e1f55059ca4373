//! Servers that are killed, hang, or answer what they should not: the process' own share holds, and nobody waits long.

use super::{server::Server, *};

const RATE: u32 = 300;
const TIMEOUT: &str = "timeout = \"200ms\"";

fn three(url: &str, lines: &str) -> Vec<Arc<SharedLimits>> {
    let prefix = prefix();
    (0..3).map(|_| open(url, &prefix, lines).unwrap()).collect()
}

fn metric(process: &SharedLimits, name: &str) -> u64 {
    let text = process.render();
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("partywall_shared_limits_{name} ")));
    value.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
}

/// One process gets the whole rate, which its share alone would not be.
async fn is_shared(rates: &[Arc<SharedRate>]) {
    let since = Instant::now();
    loop {
        let went = flood(&rates[..1], SECOND).await;
        if f64::from(went.admitted) > 0.8 * f64::from(RATE) {
            return;
        }
        assert!(since.elapsed() < Duration::from_secs(30), "it is not shared: {went:?}");
    }
}

#[tokio::test]
async fn a_killed_server_leaves_each_process_its_share_and_one_that_is_back_is_used_again() {
    let mut server = Server::start(&[]);
    let processes = three(&server.url(), TIMEOUT);
    let acme = rates(&processes, "acme", RATE, 60);
    let _burst = flood(&acme, SECOND).await;
    flood(&acme, 2 * SECOND).await.is_about(RATE);
    server.kill();
    let during = flood(&acme, 3 * SECOND).await;
    during.is_about(RATE);
    assert!(during.slowest < SECOND, "{during:?}");
    for process in &processes {
        assert_eq!((metric(process, "reachable"), metric(process, "outages_total")), (0, 1));
        assert!(metric(process, "local_calls_total") > 0);
    }
    // A tenant that comes now is served too, by its share.
    let newcomer = rates(&processes, "initech", RATE, 60);
    assert_eq!(newcomer[0].take().await, Ok(()));
    server.again();
    is_shared(&acme).await;
    flood(&acme, 3 * SECOND).await.is_about(RATE);
}

#[tokio::test]
async fn a_server_that_hangs_costs_a_tenant_one_wait_and_then_none() {
    let server = Server::start(&[]);
    let processes = three(&server.url(), "timeout = \"500ms\"");
    let acme = rates(&processes, "acme", RATE, 60);
    let _burst = flood(&acme, SECOND).await;
    server.signal("-STOP");
    let first = flood(&acme, SECOND).await;
    assert!(first.slowest < 2 * SECOND, "{first:?}");
    let then = flood(&acme, 2 * SECOND).await;
    then.is_about(RATE);
    assert!(then.slowest < SECOND / 4, "nobody waits for a server that did not answer: {then:?}");
    server.signal("-CONT");
    is_shared(&acme).await;
}

#[tokio::test]
async fn a_server_that_was_not_there_at_the_start_is_found() {
    let mut server = Server::start(&[]);
    server.kill();
    let processes = three(&server.url(), TIMEOUT);
    let acme = rates(&processes, "acme", RATE, 60);
    flood(&acme, SECOND).await;
    let during = flood(&acme, 2 * SECOND).await;
    during.is_about(RATE);
    server.again();
    is_shared(&acme).await;
}

#[tokio::test]
async fn wrong_answers_are_no_answers() {
    let (url, prefix) = (test_server(), prefix());
    let shared = process(&url, &prefix);
    let mut server = look(&url).await;
    for (id, command) in [("text", "SET"), ("list", "RPUSH")] {
        let key = key(&prefix, &tenant(id), Incarnation(1));
        let _: () = redis::cmd(command).arg(&key).arg("x").query_async(&mut server).await.unwrap();
        let rate = shared.rate(&tenant(id), Incarnation(1), &limits(3, 30), None);
        let mut admitted = 0;
        while rate.take().await.is_ok() {
            admitted += 1;
        }
        assert!((10..=12).contains(&admitted), "a third of the burst: {admitted}");
        let _: () = redis::cmd("DEL").arg(&key).query_async(&mut server).await.unwrap();
    }
    // Nonsense in the fields is a bucket that was never used.
    let key = key(&prefix, &tenant("odd"), Incarnation(1));
    let fields = [("tokens", "lots"), ("at", "never")];
    let _: () = redis::cmd("HSET").arg(&key).arg(&fields).query_async(&mut server).await.unwrap();
    let odd = shared.rate(&tenant("odd"), Incarnation(1), &limits(1, 5), None);
    let mut admitted = 0;
    while odd.take().await.is_ok() {
        admitted += 1;
    }
    assert!((5..=7).contains(&admitted), "{admitted}");
}

#[tokio::test]
async fn a_wrong_password_leaves_the_share_and_a_right_one_is_used() {
    let server = Server::start(&["--requirepass", "hush"]);
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port);
    let wrong = open(&url("other"), "p", TIMEOUT).unwrap();
    let right = open(&url("hush"), "p", TIMEOUT).unwrap();
    assert_eq!(rates(&[Arc::clone(&wrong)], "acme", RATE, 60)[0].take().await, Ok(()));
    assert_eq!((metric(&wrong, "reachable"), metric(&wrong, "local_calls_total")), (0, 1));
    is_shared(&rates(&[right], "acme", RATE, 60)).await;
}

/// A flood that Redis does not answer has a bounded number of calls waiting and of questions under way.
#[tokio::test]
async fn a_flood_at_a_server_that_hangs_is_bounded() {
    let server = Server::start(&[]);
    let shared = open(&server.url(), "p", "timeout = \"500ms\"").unwrap();
    let (acme, globex) = (
        &rates(&[Arc::clone(&shared)], "acme", RATE, 60)[0],
        &rates(&[Arc::clone(&shared)], "globex", RATE, 60)[0],
    );
    assert_eq!((acme.take().await, globex.take().await), (Ok(()), Ok(())));
    server.signal("-STOP");
    until("the lease has run out", || acme.lease().step(Instant::now(), 0) != Step::Admit(None)).await;
    let flood = join_all((0..5 * MOST_WAITING).map(|_| acme.take()));
    let went = tokio::time::timeout(10 * SECOND, flood).await.expect("nobody hangs");
    let admitted = went.iter().filter(|taken| taken.is_ok()).count();
    assert!((1..=20 + 2 * RATE as usize / 3).contains(&admitted), "{admitted}");
    assert_eq!(acme.waiting.load(Relaxed), 0);
    let before = Instant::now();
    assert!(globex.take().await.is_ok(), "one wait of its own, and its share");
    assert!(before.elapsed() < 2 * SECOND);
}
