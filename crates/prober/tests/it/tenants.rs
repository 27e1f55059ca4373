//! Tenants that are suspended, and tenants of the same name as one that is gone.

use std::path::Path;

use futures_util::future::join_all;
use partywall_model::{Layer, Outcome, Verdict, Verdicts};
use partywall_prober::{Errands, Plan, Progress};
use tokio::sync::watch;

use crate::{
    stub::{Stub, tenants::ANEW},
    support::{plan, run, verdict},
};

/// The techniques of which a leak is found here.
pub(crate) const LEAKY: &[&str] = &["LC-01", "LC-03"];
/// The techniques that hold here.
pub(crate) const SAFE: &[&str] = LEAKY;

fn errands(folder: &Path) -> Errands {
    let folder = folder.display();
    Errands {
        suspend: Some(format!("touch '{folder}'/suspended-\"$TENANT\"")),
        resume: Some(format!("rm '{folder}'/suspended-\"$TENANT\"")),
        recreate: Some(format!("touch '{folder}'/anew-\"$TENANT\" && echo {ANEW}")),
    }
}

async fn attacked(defects: &[&'static str], technique: &str, change: impl Fn(&mut Plan)) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::start(defects).await;
    stub.heed(folder.path());
    let mut plan = plan(&stub);
    plan.errands = errands(folder.path());
    plan.allow_writes = true;
    plan.probes = vec![technique.to_owned()];
    change(&mut plan);
    let verdicts: Verdicts = run(&plan).await.unwrap();
    assert!(!folder.path().join("suspended-globex").exists(), "a tenant was left suspended");
    let shown = serde_json::to_string(&verdicts).unwrap();
    assert!(!shown.contains(ANEW), "{shown}");
    verdicts.verdicts.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_live_on_are_found() {
    let cases = [
        (vec!["suspension-is-not-seen"], "LC-01", "with its token"),
        (vec!["suspended-session-lives"], "LC-01", "in a session that it had"),
        (vec!["old-rows-stay"], "LC-03", "which the one before it had written"),
        (vec!["old-token-lives"], "LC-03", "before it was removed"),
        (vec!["old-sessions-stay"], "LC-03", "in a session that it had"),
    ];
    let attacks = cases.map(|(defects, technique, says)| async move {
        (attacked(&defects, technique, |_| {}).await, defects, says)
    });
    for (leaky, defects, says) in join_all(attacks).await {
        assert_eq!(leaky.verdict, Outcome::Leaked, "{defects:?}: {}", leaky.reason);
        let told = leaky.evidence.iter().any(|evidence| evidence.why.contains(says));
        assert!(told, "{defects:?}: {:?}", leaky.evidence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_that_are_gone_hold() {
    let attacks = SAFE.iter().map(|technique| attacked(&[], technique, |_| {}));
    for (safe, technique) in join_all(attacks).await.into_iter().zip(SAFE) {
        assert_eq!(safe.verdict, Outcome::Isolated, "{technique}: {}", safe.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_or_where_it_fails_nothing_is_concluded() {
    let attacks = SAFE.iter().map(|technique| verdict("", technique, |_| {}));
    for (none, technique) in join_all(attacks).await.into_iter().zip(SAFE) {
        assert_eq!(none.verdict, Outcome::NotRun, "{technique}: {}", none.reason);
    }
    let fails = |plan: &mut Plan| {
        plan.errands.suspend = Some("echo no such tenant >&2; exit 1".to_owned());
        plan.errands.recreate = plan.errands.suspend.clone();
        plan.errands.resume = Some("true".to_owned());
    };
    let attacks = SAFE.iter().map(|technique| attacked(&[], technique, fails));
    for (failed, technique) in join_all(attacks).await.into_iter().zip(SAFE) {
        assert_eq!(failed.verdict, Outcome::Inconclusive, "{technique}: {}", failed.reason);
        assert!(failed.reason.contains("no such tenant"), "{technique}: {}", failed.reason);
    }
    // A command that does nothing is no suspension.
    let idle = attacked(&[], "LC-01", |plan| plan.errands.suspend = Some("true".to_owned())).await;
    assert_eq!(idle.verdict, Outcome::Leaked, "{}", idle.reason);
}

/// Stops the run as soon as the tenant is suspended.
struct Stopper {
    folder: std::path::PathBuf,
    stop: watch::Sender<bool>,
}

impl Progress for Stopper {
    fn begins(&mut self, layer: Option<Layer>, _what: &str) {
        let (file, stop) = (self.folder.join("suspended-globex"), self.stop.clone());
        if layer.is_some() {
            tokio::spawn(async move {
                while !file.exists() {
                    tokio::task::yield_now().await;
                }
                stop.send_replace(true);
            });
        }
    }

    fn verdict(&mut self, _verdict: &Verdict) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_leaves_nobody_suspended() {
    let folder = tempfile::tempdir().unwrap();
    let stub = Stub::start(&["suspension-is-not-seen"]).await;
    stub.heed(folder.path());
    let mut plan = plan(&stub);
    plan.errands = errands(folder.path());
    plan.probes = vec!["LC-01".to_owned()];
    let (stop, stopped) = watch::channel(false);
    let mut stopper = Stopper { folder: folder.path().to_owned(), stop };
    let verdicts = partywall_prober::run(&plan, &mut stopper, stopped).await.unwrap();
    assert_eq!(verdicts.verdicts[0].reason, "the run was stopped");
    assert!(!folder.path().join("suspended-globex").exists(), "a tenant was left suspended");
}
