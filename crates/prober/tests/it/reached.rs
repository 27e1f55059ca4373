//! How a target is reached: where the token stands, how fast, and by which version of HTTP.

use std::num::NonZeroU32;

use partywall_model::{Layer, Outcome};
use partywall_prober::Plan;

use crate::{
    stub::Stub,
    support::{found, held, plan, run},
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
    plan.probes = ["RT-15", "RT-17"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    assert!(verdicts.notes.iter().any(|note| note.contains("HTTP/2 only")), "{:?}", verdicts.notes);
    let of = |id: &str| verdicts.verdicts.iter().find(|verdict| verdict.technique == id).unwrap();
    assert!(of("RT-15").reason.contains("in line were left out"), "{}", of("RT-15").reason);
    assert_eq!(of("RT-17").verdict, Outcome::NotRun);
    assert!(of("RT-17").reason.contains("HTTP/2"), "{}", of("RT-17").reason);
}
