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
    // Whatever the machine is busy with, each technique must have its turn.
    plan.duration = Duration::from_secs(600);
    plan.racing = Duration::from_secs(1);
    // What the stub keeps for a while is gone sooner. Tests that are about pauses have those of a real run.
    plan.pauses.alone = Duration::from_millis(600);
    plan.authority.clone_from(&stub.certificate);
    plan.seeds = BTreeMap::from([
        ("acme".to_owned(), vec!["Printer on fire".to_owned()]),
        ("globex".to_owned(), vec!["Reactor leak".to_owned()]),
    ]);
    plan
}

/// What the machine that all tests share has room for: most of a run is waiting, and a machine may have two processors.
static MACHINE: Semaphore = Semaphore::const_new(24);

/// How much of the machine a run needs: so little that eight go on at a time.
const USUAL: u32 = 3;
/// What loads its target: two go on at a time.
const LOADS: u32 = 12;
/// What measures times has nearly all of it, so that no other test is measured.
const MEASURES: u32 = 20;
/// What hardly does anything but wait.
const WAITS: u32 = 1;

/// How many runs one test begins at a time.
const AT_ONCE: usize = 8;

/// A place on the machine for a run.
async fn place(plan: &Plan) -> SemaphorePermit<'static> {
    let timed = plan.quick || plan.probes.iter().any(|id| TIMED.contains(&id.as_str()));
    let needs = match () {
        () if timed => MEASURES,
        () if plan.layers.contains(&Layer::Capacity) => LOADS,
        () => USUAL,
    };
    MACHINE.acquire_many(needs).await.unwrap()
}

/// A place for a run against a target that lets it wait.
pub(crate) async fn waiting_place() -> SemaphorePermit<'static> {
    MACHINE.acquire_many(WAITS).await.unwrap()
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
    stream::iter(verdicts).buffer_unordered(AT_ONCE).collect().await
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
