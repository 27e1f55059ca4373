//! How a target is reached: where the token stands, how fast, and by which version of HTTP.

use std::num::NonZeroU32;

use partywall_model::{Layer, Outcome};
use partywall_prober::Plan;

use crate::{
    stub::Stub,
    support::{found, held, plain, plan, run},
};

fn by_key(plan: &mut Plan) {
    plan.token_header = Some("x-api-key".to_owned());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_stand_in_a_header_of_its_own() {
    found(&[("token-in-x-api-key get-without-filter", "DA-01")], by_key).await;
    held(&[("token-in-x-api-key", "DA-01"), ("token-in-x-api-key", "RT-17")], by_key).await;
    let stub = Stub::start(&["token-in-x-api-key"]).await;
    let mut plan = plan(&stub);
    assert!(run(&plan).await.unwrap_err().to_string().contains("token was refused"));
    by_key(&mut plan);
    plan.layers = vec![Layer::Identity];
    let verdicts = run(&plan).await.unwrap();
    let leaked: Vec<_> = verdicts.verdicts.iter().filter(|one| one.verdict == Outcome::Leaked).collect();
    assert!(leaked.is_empty() && verdicts.summary.isolated > 8, "{leaked:#?}");
    assert!(verdicts.verdicts.iter().all(|one| one.replay.contains(" --token-header x-api-key")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    plan.rate = NonZeroU32::new(60);
    plan.probes = vec!["DA-02".to_owned()];
    let stats = run(&plan).await.unwrap().stats;
    #[expect(clippy::cast_precision_loss, reason = "a number of requests is small")]
    let rate = stats.requests as f64 / stats.seconds;
    assert!(rate < 66.0 && stats.requests > 60, "{} in {} s", stats.requests, stats.seconds);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_speaks_nothing_but_http2_is_told_of() {
    let stub = Stub::start(&["http2-only"]).await;
    let mut plan = plan(&stub);
    plan.probes = ["RT-15", "RT-17", "XP-05"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    assert!(verdicts.notes.iter().any(|note| note.contains("HTTP/2 only")), "{:?}", verdicts.notes);
    let of = |id: &str| verdicts.verdicts.iter().find(|verdict| verdict.technique == id).unwrap();
    assert!(of("RT-15").reason.contains("in line were left out"), "{}", of("RT-15").reason);
    assert_eq!(of("RT-17").verdict, Outcome::Isolated, "{}", of("RT-17").reason);
    assert_eq!(of("XP-05").verdict, Outcome::NotRun);
    assert!(of("XP-05").reason.contains("HTTP/2"), "{}", of("XP-05").reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_behind_tls_is_attacked_as_others_are() {
    found(
        &[
            ("tls get-without-filter", "DA-01"),
            ("tls session-without-owner", "SE-01"),
            ("tls connection-identity", "RT-15"),
            ("tls module-state", "ST-01"),
            ("tls module-state", "RT-17"),
            ("tls-http1 module-state", "RT-17"),
        ],
        plain,
    )
    .await;
    held(&[("tls", "DA-01"), ("tls", "SE-01"), ("tls", "RT-15"), ("tls", "RT-17")], plain).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_tls_the_target_chooses_the_version_of_http() {
    for (offers, spoken) in [("tls", "HTTP/2.0"), ("tls-http1", "HTTP/1.1")] {
        let stub = Stub::start(&[offers]).await;
        let mut plan = plan(&stub);
        plan.probes = ["DA-01", "RT-17", "XP-05"].map(str::to_owned).to_vec();
        let verdicts = run(&plan).await.unwrap().verdicts;
        let kept = stub.app.shelf.lock().unwrap();
        let seen: Vec<&String> = kept.keys().filter(|name| name.starts_with("HTTP/")).collect();
        assert_eq!(seen, [spoken]);
        let of = |id: &str| verdicts.iter().find(|verdict| verdict.technique == id).unwrap();
        assert_eq!(of("RT-17").verdict, Outcome::Isolated, "{}", of("RT-17").reason);
        assert_eq!(of("XP-05").verdict, Outcome::NotRun);
        assert!(of("XP-05").reason.contains("TLS"), "{}", of("XP-05").reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let (stub, other) = (Stub::start(&["tls"]).await, Stub::start(&["tls"]).await);
    let mut plan = plan(&stub);
    for (authority, says) in [
        (None, "certificate"),
        (other.certificate.clone(), "certificate"),
        (Some(b"no certificate".to_vec()), "no certificate in it"),
    ] {
        plan.authority = authority;
        let error = run(&plan).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(stub.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_named_is_believed_though_it_is_its_own_authority() {
    held(&[("tls-own-authority", "DA-01")], plain).await;
    let (stub, other) =
        (Stub::start(&["tls-own-authority"]).await, Stub::start(&["tls-own-authority"]).await);
    let mut plan = plan(&stub);
    plan.authority.clone_from(&other.certificate);
    let error = run(&plan).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_without_tls_where_tls_is_spoken_is_told_of() {
    for certificate in [true, false] {
        let stub = Stub::start(&["tls-http1"]).await;
        let mut plan = plan(&stub);
        plan.url.set_scheme("http").unwrap();
        plan.authority = plan.authority.filter(|_| certificate);
        let error = run(&plan).await.unwrap_err().to_string();
        assert!(error.contains("write the address with https"), "{error}");
    }
}
