//! Runs of the prober against a stub.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, stream};
use partywall_model::{Layer, Outcome, Verdict, Verdicts};
use partywall_prober::{Credential, Plan, ProbeError, Progress};
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use crate::{
    disclosure::TIMED,
    stub::{ACME, GLOBEX, Stub, lax::Lax},
};

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
    plan.authority.clone_from(&stub.certificate);
    plan.seeds = BTreeMap::from([
        ("acme".to_owned(), vec!["Printer on fire".to_owned()]),
        ("globex".to_owned(), vec!["Reactor leak".to_owned()]),
    ]);
    plan
}

/// How many runs go on at a time, of all tests together: most of a run is waiting, and a machine may have two processors.
const PLACES: u32 = 8;

/// The machine that all tests share.
static MACHINE: Semaphore = Semaphore::const_new(PLACES as usize);

/// A place on the machine for a run that measures nothing.
pub(crate) async fn one_place() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.unwrap()
}

/// A place on the machine for a run. What measures times or loads has it for itself, so that no other test is measured.
async fn place(plan: &Plan) -> SemaphorePermit<'static> {
    let timed = |id: &String| TIMED.contains(&id.as_str());
    let alone = plan.quick || plan.layers.contains(&Layer::Capacity) || plan.probes.iter().any(timed);
    MACHINE.acquire_many(if alone { PLACES } else { 1 }).await.unwrap()
}

/// Runs a plan to its end. It gets its time when there is a place for it.
pub(crate) async fn run(plan: &Plan) -> Result<Verdicts, ProbeError> {
    let _place = place(plan).await;
    let (_stop, stopped) = watch::channel(false);
    partywall_prober::run(plan, &mut Silent, stopped).await
}

/// The verdict of one technique on a server with some defects, which stand in one text. `lax-proxy` is a proxy before it.
pub(crate) async fn verdict(defects: &'static str, technique: &str, change: impl Fn(&mut Plan)) -> Verdict {
    let defects: Vec<&'static str> = defects.split_whitespace().collect();
    let stub = Stub::start(&defects).await;
    let mut plan = plan(&stub);
    let lax = if defects.contains(&"lax-proxy") { Some(Lax::before(&plan.url).await) } else { None };
    plan.url = lax.as_ref().map_or(plan.url, Lax::url);
    plan.probes = vec![technique.to_owned()];
    change(&mut plan);
    let mut verdicts = run(&plan).await.unwrap().verdicts;
    assert!(!verdicts.is_empty(), "{technique} is no technique");
    assert!(verdicts.iter().all(|verdict| verdict.technique.eq_ignore_ascii_case(technique)), "{technique}");
    verdicts.remove(0)
}

/// Tests of servers that leak: each of the defects must be found by its technique, under a change to the plan. The techniques
/// are listed in `LEAKY`, for `covered.rs`.
macro_rules! leaky {
    ($($test:ident($change:expr) = [$(($defects:literal, $technique:literal)),+ $(,)?];)+) => {
        /// The techniques of which a leak is found here.
        pub(crate) const LEAKY: &[&str] = &[$($($technique),+),+];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::support::found(&[$(($defects, $technique)),+], $change).await;
            }
        )+
    };
}

/// Tests of servers that do not leak, for techniques that find nothing to try on the plain stub: each must be `isolated`. The
/// techniques are listed in `SAFE`, for `safe.rs`.
macro_rules! safe {
    ($($test:ident($change:expr) = [$(($parts:literal, $technique:literal)),+ $(,)?];)+) => {
        /// The techniques that hold here.
        pub(crate) const SAFE: &[&str] = &[$($($technique),+),+];
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                crate::support::held(&[$(($parts, $technique)),+], $change).await;
            }
        )+
    };
}

pub(crate) use {leaky, safe};

/// The plan as it is.
pub(crate) fn plain(_plan: &mut Plan) {}

/// Writes are allowed.
pub(crate) fn writes(plan: &mut Plan) {
    plan.allow_writes = true;
}

/// Load tests are allowed.
pub(crate) fn loads(plan: &mut Plan) {
    plan.layers = vec![Layer::Capacity];
}

/// The verdicts of several techniques, each on a server of its own, side by side; in the order in which they come.
async fn verdicts<'c>(
    cases: &'c [(&'static str, &'static str)],
    change: impl Fn(&mut Plan) + Copy,
) -> Vec<(&'c (&'static str, &'static str), Verdict)> {
    let verdicts = cases.iter().map(|case| async move { (case, verdict(case.0, case.1, change).await) });
    stream::iter(verdicts).buffer_unordered(PLACES as usize).collect().await
}

/// Each defect must be found by its technique, with evidence that shows no token. That nothing is found without it is shown
/// by `safe.rs`, for every technique at once.
pub(crate) async fn found(cases: &[(&'static str, &'static str)], change: impl Fn(&mut Plan) + Copy) {
    for ((defects, technique), leaky) in verdicts(cases, change).await {
        assert_eq!(leaky.verdict, Outcome::Leaked, "{technique} on {defects}: {}", leaky.reason);
        assert!(!leaky.evidence.is_empty(), "{technique} on {defects} has no evidence");
        let shown = serde_json::to_string(&leaky).unwrap();
        assert!(!shown.contains(ACME) && !shown.contains(GLOBEX), "{technique} shows a token: {shown}");
    }
}

/// Nothing must be found, in attempts that could have.
pub(crate) async fn held(cases: &[(&'static str, &'static str)], change: impl Fn(&mut Plan) + Copy) {
    for ((parts, technique), safe) in verdicts(cases, change).await {
        assert_eq!(safe.verdict, Outcome::Isolated, "{technique} on {parts}: {}", safe.reason);
    }
}
