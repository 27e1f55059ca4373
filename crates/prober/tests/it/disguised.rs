//! Values that are shown in disguise are found, and what is everybody's is taken for nobody's.

use futures_util::future::join_all;
use partywall_model::Outcome;
use partywall_prober::Plan;

use crate::{
    stub::Stub,
    support::{found, held, plain, plan, run, verdict},
};

#[tokio::test(flavor = "multi_thread")]
async fn values_are_found_in_every_disguise() {
    let cases = [
        "tells-in-gzip",
        "tells-in-a-header",
        "tells-in-a-comment",
        "tells-in-pieces",
        "tells-in-base64",
        "tells-packed",
        "tells-in-hexadecimal",
        "tells-in-html",
        "tells-in-escapes",
        "tells-in-a-link",
        "tells-in-wide-letters",
        "tells-in-lines",
        "tells-in-capitals",
        "tells-cut",
        "tells-as-bytes",
    ];
    found(&cases.map(|case| (case, "DA-01")), plain).await;
    // Without the value nothing is found there.
    held(&[("tells-nothing", "DA-01")], plain).await;
    found(&[("tells-a-sum", "DA-01")], |plan: &mut Plan| {
        for seeds in plan.seeds.values_mut() {
            seeds.clear();
        }
        plan.seeds.insert("acme".to_owned(), vec!["738201946512".to_owned()]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_read_is_never_isolated() {
    let coded = verdict("tells-in-another-coding", "DA-01", plain).await;
    assert_eq!(coded.verdict, Outcome::Inconclusive, "{}", coded.reason);
    assert!(coded.reason.contains("\"br\""), "{}", coded.reason);
}

/// What is public and changes, or is written differently for each, is learned of one tenant and shown to the other.
#[tokio::test(flavor = "multi_thread")]
async fn public_texts_that_change_are_nobodys() {
    let shown = ["with-news", "with-notices"].map(|part| async move {
        let stub = Stub::start(&[part]).await;
        let mut plan = plan(&stub);
        let techniques = ["DA-01", "DA-06", "CA-01", "CA-02", "ST-01", "ST-04", "RT-01", "CR-03"];
        plan.probes = techniques.map(str::to_owned).to_vec();
        let verdicts = run(&plan).await.unwrap().verdicts;
        let leaked: Vec<_> =
            verdicts.iter().filter(|verdict| verdict.verdict == Outcome::Leaked).map(|v| &v.reason).collect();
        assert!(leaked.is_empty(), "{part}: {leaked:#?}");
        assert!(verdicts.iter().any(|verdict| verdict.verdict == Outcome::Isolated), "{part}");
    });
    join_all(shown).await;
}
