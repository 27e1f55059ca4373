//! The closed loop: the prober finds nothing in the gateway, and something as soon as a guard is taken out.
//!
//! Each guard is taken out in a process of its own, which this test starts from its own binary. The table of what found
//! what is docs/closed-loop.md, kept fresh by the test.

mod stage;

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use partywall_model::{Layer, Outcome, Verdicts};

use stage::Stage;

/// A guard, and the techniques that must see it go.
struct Removal {
    guard: &'static str,
    layer: Layer,
    instead: &'static str,
    found_by: &'static [&'static str],
}

const REMOVALS: [Removal; 10] = [
    Removal {
        guard: "verified-token",
        layer: Layer::Identity,
        instead: "signatures are not compared",
        found_by: &["ID-02"],
    },
    Removal {
        guard: "permit",
        layer: Layer::Context,
        instead: "a request without a token is a tenant's",
        found_by: &["ID-01"],
    },
    Removal {
        guard: "resident",
        layer: Layer::State,
        instead: "tools keep their memory in one place for all",
        found_by: &["ST-01"],
    },
    Removal {
        guard: "file-per-tenant",
        layer: Layer::Data,
        instead: "all tenants' statements run on one file",
        found_by: &["DA-06"],
    },
    Removal {
        guard: "cache-per-tenant",
        layer: Layer::Cache,
        instead: "all tenants' replies are in one cache",
        found_by: &["CA-01"],
    },
    Removal {
        guard: "owner-check",
        layer: Layer::Cache,
        instead: "replies are not compared with their owner",
        found_by: &["DA-01"],
    },
    Removal {
        guard: "sealed-vault",
        layer: Layer::Credentials,
        instead: "the first tenant's secret serves everybody",
        found_by: &["CR-01"],
    },
    Removal { guard: "doors", layer: Layer::Routing, instead: "any origin is served", found_by: &["XP-08"] },
    Removal {
        guard: "limits-per-tenant",
        layer: Layer::Capacity,
        instead: "one rate is counted for all",
        found_by: &["QU-01"],
    },
    Removal {
        guard: "one-refusal",
        layer: Layer::Disclosure,
        instead: "what is somebody else's is refused as such",
        found_by: &["DA-11"],
    },
];

/// The techniques of the table.
const TRIED: [&str; 10] =
    ["ID-02", "ID-01", "ST-01", "DA-06", "CA-01", "DA-01", "CR-01", "XP-08", "QU-01", "DA-11"];

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/closed-loop.md");
const GUARD: &str = "PARTYWALL_CLOSED_LOOP_GUARD";
const RESULT: &str = "PARTYWALL_CLOSED_LOOP_RESULT";

#[tokio::test(flavor = "multi_thread")]
async fn the_prober_finds_nothing_in_the_gateway() {
    let stage = Stage::open().await;
    let mut plan = stage.plan();
    plan.allow_writes = true;
    plan.layers = Layer::ALL.to_vec();
    plan.duration = Duration::from_secs(150);
    let verdicts = stage.attack(&plan).await;
    let odd: Vec<String> = verdicts
        .verdicts
        .iter()
        .filter(|verdict| matches!(verdict.verdict, Outcome::Leaked | Outcome::Inconclusive))
        .map(|verdict| format!("{} {}: {}", verdict.technique, verdict.verdict.name(), verdict.reason))
        .collect();
    assert!(odd.is_empty(), "{odd:#?}");
    for technique in TRIED {
        let verdict = verdicts.verdicts.iter().find(|verdict| verdict.technique == technique).unwrap();
        assert_eq!(verdict.verdict, Outcome::Isolated, "{technique}: {}", verdict.reason);
    }
}

/// Attacks a gateway without one guard; run by the test below in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a_probe_sees_each_guard_go starts it"]
#[expect(clippy::disallowed_methods, reason = "the parent says by the environment what to take out")]
async fn without_a_guard() {
    let (guard, result) = (std::env::var(GUARD).unwrap(), std::env::var(RESULT).unwrap());
    let stage = Stage::open().await;
    crate::removed::take_out(&guard);
    let mut plan = stage.plan();
    plan.layers = Layer::ALL.to_vec();
    // The load test takes longer than all others together.
    let loaded = guard == "limits-per-tenant";
    plan.probes = TRIED.iter().filter(|id| loaded || **id != "QU-01").map(|id| (*id).to_owned()).collect();
    let verdicts = stage.attack(&plan).await;
    std::fs::write(result, serde_json::to_string(&verdicts).unwrap()).unwrap();
}

#[test]
fn a_probe_sees_each_guard_go() {
    let folder = tempfile::tempdir().unwrap();
    let found: Vec<BTreeMap<String, Outcome>> = std::thread::scope(|scope| {
        // Two at a time: races need a processor that is not too busy.
        let halves = REMOVALS.chunks(REMOVALS.len().div_ceil(2));
        let running: Vec<_> = halves
            .map(|half| {
                let folder = folder.path();
                scope.spawn(move || {
                    half.iter().map(|removal| outcomes(removal.guard, folder)).collect::<Vec<_>>()
                })
            })
            .collect();
        running.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
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
    let result = folder.join(format!("{guard}.json"));
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

/// The table in Markdown. Only what must be is in it: a race that another removal happens to show as well is not.
fn table(found: &[BTreeMap<String, Outcome>]) -> String {
    let mut text = String::from(
        "# The closed loop\n\n\
         Made by `cargo test -p partywall-gateway --lib closed_loop`, which keeps it fresh.\n\n\
         The prober attacks the gateway and finds nothing. Then each guard is taken out in turn, in a build for tests only,\n\
         and the technique beside it says *leaked*. So each guard is shown to be needed, and each technique to be awake.\n\n\
         | layer | guard | what is done instead | found by |\n|---|---|---|---|\n",
    );
    for (removal, found) in REMOVALS.iter().zip(found) {
        let by: Vec<&str> =
            removal.found_by.iter().copied().filter(|id| found.get(*id) == Some(&Outcome::Leaked)).collect();
        text.push_str(&format!(
            "| {} | `{}` | {} | {} |\n",
            removal.layer,
            removal.guard,
            removal.instead,
            by.join(", ")
        ));
    }
    text.push_str(
        "\nNot in the table, and why: `no-tenant-argument` refuses a configuration before anything is served, and\n\
         `branded-context` a program before it runs; `sealed-handles` binds cursors and states that hold positions and\n\
         nothing of a tenant's, so that nothing is seen when they open for somebody else; `own-log`, `seats`, `fair-share`,\n\
         `paced-refusals`, `shared-rate`, `client-per-tenant`, `active-tenant`, `own-exchange`, `no-fallback` and the guards\n\
         of PostgreSQL have tests of their own that fail without them.\n",
    );
    text
}
