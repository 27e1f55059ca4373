//! Whose bucket is whose.

use super::*;

#[tokio::test]
async fn each_tenant_and_each_life_of_it_has_a_bucket_of_its_own() {
    let (url, prefix) = (test_server(), prefix());
    let shared = process(&url, &prefix);
    // Ids that another spelling of the key could take for one another.
    let ids = ["a.b", "a-b", "a_b", "A.B", "ab", "1", "1.rate", "rate"];
    for (n, id) in ids.iter().enumerate() {
        for life in [1, 11] {
            let rate = shared.rate(&tenant(id), Incarnation(life), &limits(1, 100), None);
            for _call in 0..=n {
                rate.take().await.unwrap();
            }
        }
    }
    let mut server = look(&url).await;
    let pattern = format!("{prefix}:*");
    let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut server).await.unwrap();
    keys.sort();
    let mut expected: Vec<String> =
        ids.iter().flat_map(|id| [1, 11].map(|life| format!("{prefix}:{{{id}}}:{life}:rate"))).collect();
    expected.sort();
    assert_eq!(keys, expected);
    for (n, id) in ids.iter().enumerate() {
        for life in [1, 11] {
            let key = key(&prefix, &tenant(id), Incarnation(life));
            let left: f64 =
                redis::cmd("HGET").arg(&key).arg("tokens").query_async(&mut server).await.unwrap();
            let used = 100.0 - left;
            assert!((used - (n as f64 + 1.0)).abs() < 0.9, "{key}: {used} used");
            let ttl: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut server).await.unwrap();
            assert!((1..=10_000).contains(&ttl), "{key} goes by itself: {ttl}");
        }
    }
}

#[test]
fn what_could_break_out_of_a_key_is_no_tenant_and_no_prefix() {
    for id in ["a}b", "{a", "a:b", "a b", "a*", "a\r\nb"] {
        assert!(TenantId::parse(id).is_err(), "{id}");
        let text = format!("[shared]\nredis = \"env:URL\"\nreplicas = 1\nprefix = {id:?}");
        let refused = Config::parse(&text, "test", Path::new("/")).is_err();
        assert_eq!(refused, id != "a:b", "{id}");
    }
}

#[tokio::test]
async fn a_new_life_of_a_tenant_does_not_meet_the_earlier_ones_bucket() {
    let (url, prefix) = (test_server(), prefix());
    let shared = process(&url, &prefix);
    let first = shared.rate(&tenant("acme"), Incarnation(1), &limits(1, 5), None);
    let used = |rate: Arc<SharedRate>| async move {
        let mut used = 0;
        while rate.take().await.is_ok() {
            used += 1;
        }
        used
    };
    let emptied = used(Arc::clone(&first)).await;
    assert!((5..=7).contains(&emptied), "{emptied}");
    assert!(first.take().await.is_err());
    // The first one's meters are at hand, as they are when limits change.
    let second = shared.rate(&tenant("acme"), Incarnation(2), &limits(1, 5), Some(&first));
    let fresh = used(second).await;
    assert!((5..=7).contains(&fresh), "{fresh}");
}

#[test]
fn a_url_that_is_wrong_is_told_without_its_password() {
    for url in [
        "http://:hush@localhost",
        "redis://:hush@",
        ":hush@localhost",
        "redis://:hush@a,redis://:hush@b",
        "redis://:hush@a/x",
    ] {
        let error = open(url, "p", "").err().unwrap().to_string();
        assert!(error.starts_with("shared.redis: ") && !error.contains("hush"), "{error}");
    }
    let error = open("rediss://localhost", "p", "ca_file = \"/none\"").err().unwrap().to_string();
    assert!(error.starts_with("shared.ca_file: cannot read /none"), "{error}");
    assert!(open("rediss://:hush@localhost:6380/2", "p", "").is_ok());
}
