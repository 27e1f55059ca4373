//! `--replay`: what leaked in an earlier run, once more.

use std::path::Path;

use anyhow::{Context as _, ensure};
use partywall_model::{Layer, Outcome, Verdict, Verdicts};
use partywall_prober::{Plan, Protocol};

/// Makes a plan run what leaked in a document of verdicts, and nothing else, with the schedules that it leaked by. What that run
/// was allowed has to be allowed again: a file gives no leave.
pub(super) fn apply(plan: &mut Plan, path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let verdicts: Verdicts = serde_json::from_str(&super::file(path)?)
        .with_context(|| format!("{shown} is no output of `partywall probe --format json`"))?;
    let leaked: Vec<&Verdict> =
        verdicts.verdicts.iter().filter(|verdict| verdict.verdict == Outcome::Leaked).collect();
    ensure!(!leaked.is_empty(), "nothing leaked in {shown}, so there is nothing to run again");
    let had = |flag: &str| leaked.iter().any(|verdict| verdict.replay.contains(flag));
    ensure!(
        plan.allow_writes || !had(" --allow-writes"),
        "what leaked in {shown} leaked with --allow-writes; give it again"
    );
    ensure!(
        plan.layers.contains(&Layer::Capacity) || !had(" --layer capacity"),
        "what leaked in {shown} loads the target; give --layer capacity again"
    );
    plan.probes = leaked.iter().map(|verdict| verdict.technique.clone()).collect();
    let seed = leaked.first().and_then(|verdict| verdict.replay.rsplit_once("--seed-run ")?.1.parse().ok());
    plan.seed_run = seed.with_context(|| format!("{shown} does not say by which --seed-run it leaked"))?;
    if plan.protocol == Protocol::Auto {
        for (word, protocol) in [("2026-07-28", Protocol::Modern), ("2025-11-25", Protocol::Legacy)] {
            if had(&format!(" --protocol {word}")) {
                plan.protocol = protocol;
            }
        }
    }
    Ok(())
}
