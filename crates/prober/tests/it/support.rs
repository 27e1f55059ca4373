//! Runs of the prober against a stub.

use std::{collections::BTreeMap, time::Duration};

use partywall_model::{Layer, Outcome, Verdict, Verdicts};
use partywall_prober::{Credential, Plan, ProbeError, Progress};
use tokio::sync::watch;

use crate::stub::{ACME, GLOBEX, Stub};

/// Nobody who looks on.
struct Silent;

impl Progress for Silent {
    fn begins(&mut self, _layer: Option<Layer>, _what: &str) {}
    fn verdict(&mut self, _verdict: &Verdict) {}
}

/// A plan for a stub: both tenants, with seeds for both.
pub(crate) fn plan(stub: &Stub) -> Plan {
    let credential =
        |tenant: &str, token: &str| Credential { tenant: tenant.to_owned(), token: token.to_owned().into() };
    let mut plan = Plan::new(stub.url(), vec![credential("acme", ACME), credential("globex", GLOBEX)]);
    plan.duration = Duration::from_secs(60);
    plan.racing = Duration::from_secs(1);
    plan.seeds = BTreeMap::from([
        ("acme".to_owned(), vec!["Printer on fire".to_owned()]),
        ("globex".to_owned(), vec!["Reactor leak".to_owned()]),
    ]);
    plan
}

/// Runs a plan to its end.
pub(crate) async fn run(plan: &Plan) -> Result<Verdicts, ProbeError> {
    let (_stop, stopped) = watch::channel(false);
    partywall_prober::run(plan, &mut Silent, stopped).await
}

/// The verdict of one technique on a server with some defects.
pub(crate) async fn verdict(
    defects: &[&'static str],
    technique: &str,
    change: impl Fn(&mut Plan),
) -> Verdict {
    let stub = Stub::start(defects).await;
    let mut plan = plan(&stub);
    plan.probes = vec![technique.to_owned()];
    change(&mut plan);
    let mut verdicts = run(&plan).await.unwrap().verdicts;
    assert!(!verdicts.is_empty(), "{technique} is no technique");
    assert!(verdicts.iter().all(|verdict| verdict.technique.eq_ignore_ascii_case(technique)), "{technique}");
    verdicts.remove(0)
}

/// Each defect must be found by its technique, with evidence that shows no token. That nothing is found without it is shown
/// by `safe.rs`, for every technique at once.
pub(crate) async fn sensitive(cases: &[(&'static str, &str)]) {
    sensitive_with(cases, |_| {}).await;
}

/// The same with a change to the plan.
pub(crate) async fn sensitive_with(cases: &[(&'static str, &str)], change: impl Fn(&mut Plan) + Copy) {
    for (defect, technique) in cases {
        let leaky = verdict(&[defect], technique, change).await;
        assert_eq!(leaky.verdict, Outcome::Leaked, "{technique} on {defect}: {}", leaky.reason);
        assert!(!leaky.evidence.is_empty(), "{technique} on {defect} has no evidence");
        let shown = serde_json::to_string(&leaky).unwrap();
        assert!(!shown.contains(ACME) && !shown.contains(GLOBEX), "{technique} shows a token: {shown}");
    }
}
