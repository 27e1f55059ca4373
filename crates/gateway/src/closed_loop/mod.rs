//! The closed loop: the prober finds nothing in the gateway, and something as soon as a guard is taken out.
//!
//! Each guard is taken out in a process of its own, which this test starts from its own binary. The table of what found
//! what is docs/closed-loop.md, kept fresh by the test.

mod removals;
mod service;
mod stage;
mod tools;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use partywall_model::{Layer, Outcome, TenantId, Verdicts};
use partywall_prober::Plan;
use secrecy::ExposeSecret as _;

use self::{
    removals::{REMOVALS, table, tried},
    stage::{On, Stage},
};
use crate::{
    clock::Clock,
    guards::{
        credentials::{MasterKey, Vault},
        identity::DevelopmentIssuer,
    },
    tenants::{Registry, remove_tenant},
};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/closed-loop.md");
const GUARD: &str = "PARTYWALL_CLOSED_LOOP_GUARD";
const RESULT: &str = "PARTYWALL_CLOSED_LOOP_RESULT";
const FOLDER: &str = "PARTYWALL_CLOSED_LOOP_FOLDER";
const RESOURCE: &str = "PARTYWALL_CLOSED_LOOP_RESOURCE";
const ERRAND: &str = "PARTYWALL_CLOSED_LOOP_ERRAND";

/// The techniques that see a guard of this stage go.
fn seers(on: On) -> Vec<&'static str> {
    let seers: BTreeSet<&str> = REMOVALS
        .iter()
        .filter(|removal| removal.on == on)
        .flat_map(|removal| removal.found_by)
        .copied()
        .collect();
    seers.into_iter().collect()
}

/// How often a technique is tried that a busy machine left without a verdict.
const TRIES: usize = 3;

/// Nothing leaks, every technique that was run came to a verdict, and these find isolation.
///
/// What loads the target or has a time of its own may come to no verdict while other tests have the machine, and is tried again
/// by itself. A leak is never tried again.
async fn nothing_is_found(stage: &Stage, mut plan: Plan, seers: &[&str]) {
    let untried = |id: &&str| ((*id).to_owned(), format!("{id} was not among the verdicts"));
    let mut open: BTreeMap<String, String> = seers.iter().map(untried).collect();
    for _ in 0..TRIES {
        for verdict in stage.attack(&plan).await.verdicts {
            let told = format!("{} {}: {}", verdict.technique, verdict.verdict.name(), verdict.reason);
            assert_ne!(verdict.verdict, Outcome::Leaked, "{told}");
            let wanted = seers.contains(&verdict.technique.as_str());
            match verdict.verdict {
                Outcome::Inconclusive => open.insert(verdict.technique, told),
                Outcome::NotRun if wanted => open.insert(verdict.technique, told),
                _ => open.remove(&verdict.technique),
            };
        }
        if open.is_empty() {
            return;
        }
        plan.probes = open.keys().cloned().collect();
    }
    panic!("{:#?}", open.into_values().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prober_finds_nothing_in_the_gateway() {
    let stage = Stage::open(On::Files).await.unwrap();
    let mut plan = stage.plan();
    plan.allow_writes = true;
    plan.layers = Layer::ALL.to_vec();
    nothing_is_found(&stage, plan, &seers(On::Files)).await;
}

/// With all guards in their places the same techniques find nothing, whatever the gateway stands on.
#[tokio::test(flavor = "multi_thread")]
async fn what_sees_a_guard_go_finds_nothing_while_it_is_there() {
    for on in [On::Anew, On::FewPlaces, On::Log, On::Processes, On::Redis, On::Policies, On::Roles] {
        let stage = Stage::open(on).await.unwrap();
        let mut plan = stage.plan();
        plan.layers = Layer::ALL.to_vec();
        plan.probes = tried(&seers(on));
        nothing_is_found(&stage, plan, &seers(on)).await;
    }
    let refused = Stage::open(On::Argument).await.err().unwrap();
    assert!(refused.contains("names a tenant"), "{refused}");
}

/// Attacks a gateway without one guard; run by the test below in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a_probe_sees_each_guard_go starts it"]
#[expect(clippy::disallowed_methods, reason = "the parent says by the environment what to take out")]
async fn without_a_guard() {
    let (guard, result) = (std::env::var(GUARD).unwrap(), std::env::var(RESULT).unwrap());
    let removal = REMOVALS.iter().find(|removal| removal.guard == guard).unwrap();
    if removal.on == On::Argument {
        // It would not open otherwise.
        crate::removed::take_out(&guard);
    }
    let stage = Stage::open(removal.on).await.unwrap();
    crate::removed::take_out(&guard);
    let mut plan = stage.plan();
    plan.layers = Layer::ALL.to_vec();
    plan.probes = removal.tried();
    let verdicts = stage.attack(&plan).await;
    std::fs::write(result, serde_json::to_string(&verdicts).unwrap()).unwrap();
}

/// Suspends or resumes a tenant or makes it anew, as another process of the operator's; the prober runs it.
#[test]
#[ignore = "the prober starts it"]
#[expect(clippy::disallowed_methods, reason = "the prober says by the environment whom it means")]
fn an_errand() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let data = PathBuf::from(variable(FOLDER));
    let registry = Registry::open(&data).unwrap();
    let tenant = TenantId::parse(&variable("TENANT")).unwrap();
    match variable(ERRAND).as_str() {
        "suspend" => registry.suspend(&tenant).unwrap(),
        "resume" => registry.resume(&tenant).unwrap(),
        "recreate" => {
            let vault = Vault::open(&data, MasterKey::load_or_create(&data).unwrap()).unwrap();
            remove_tenant(&registry, &vault, &data, &tenant).unwrap();
            let record = registry.add(&tenant).unwrap();
            let issuer = DevelopmentIssuer::open_or_create(&data, &variable(RESOURCE)).unwrap();
            let hour = Duration::from_secs(3600);
            let token = issuer.mint_for(&record, "new@example", "", hour, &Clock::system()).unwrap();
            std::fs::write(data.join("new-token"), token.expose_secret()).unwrap();
            record
        }
        other => panic!("no errand is called {other}"),
    };
}

#[test]
fn a_probe_sees_each_guard_go() {
    let folder = tempfile::tempdir().unwrap();
    let left = Mutex::new(REMOVALS.iter().enumerate());
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        // Two at a time: races need a processor that is not too busy.
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((place, removal)) = left.lock().unwrap().next() else { break };
                    let outcomes = outcomes(removal.guard, folder.path());
                    found.lock().unwrap().insert(place, outcomes);
                }
            });
        }
    });
    let found: Vec<BTreeMap<String, Outcome>> = found.into_inner().unwrap().into_values().collect();
    assert_eq!(found.len(), REMOVALS.len());
    for (removal, found) in REMOVALS.iter().zip(&found) {
        for technique in removal.found_by {
            assert_eq!(
                found[*technique],
                Outcome::Leaked,
                "{technique} does not see that {} is gone",
                removal.guard
            );
        }
        assert!(
            found.values().any(|outcome| *outcome == Outcome::Isolated),
            "{} breaks everything",
            removal.guard
        );
    }
    let table = table(&found);
    let known = std::fs::read_to_string(TABLE).unwrap_or_default();
    if known != table {
        std::fs::write(TABLE, &table).unwrap();
        panic!("{TABLE} was not what the prober found; it is now");
    }
}

fn outcomes(guard: &str, folder: &Path) -> BTreeMap<String, Outcome> {
    let result: PathBuf = folder.join(format!("{guard}.json"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["closed_loop::without_a_guard", "--exact", "--ignored", "--nocapture"])
        .env(GUARD, guard)
        .env(RESULT, &result)
        .output()
        .unwrap();
    assert!(output.status.success(), "{guard}: {}", String::from_utf8_lossy(&output.stdout));
    let verdicts: Verdicts = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    verdicts.verdicts.into_iter().map(|verdict| (verdict.technique, verdict.verdict)).collect()
}
