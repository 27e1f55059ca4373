//! Capacity: one tenant's load against another's service.

use partywall_model::{Layer, Outcome};

use crate::support::verdict;

#[tokio::test(flavor = "multi_thread")]
async fn one_limiter_for_all_is_found() {
    let named = |plan: &mut partywall_prober::Plan| plan.layers = vec![Layer::Capacity];
    let leaky = verdict(&["one-limiter"], "QU-01", named).await;
    assert_eq!(leaky.verdict, Outcome::Leaked, "{}", leaky.reason);
    let safe = verdict(&["limiter-per-tenant"], "QU-01", named).await;
    assert_eq!(safe.verdict, Outcome::Isolated, "{}", safe.reason);
    let unlimited = verdict(&[], "QU-01", named).await;
    assert_eq!(unlimited.verdict, Outcome::Inconclusive, "{}", unlimited.reason);
}
