//! Targets that are not there, die, hang, lie, flood or never end: a clear word, and never a pass.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use partywall_model::{Layer, Outcome, Verdict};
use partywall_prober::Progress;
use tokio::sync::watch;

use crate::{
    covered::techniques,
    stub::{App, Stub},
    support::{plan, run, waiting_place},
};

async fn refused(defect: &'static str, says: &str, duration: Duration) {
    let stub = Stub::start(&[defect]).await;
    let mut plan = plan(&stub);
    plan.duration = duration;
    let error = run(&plan).await.unwrap_err().to_string();
    assert!(error.contains(says), "{defect}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_attacked_is_said() {
    // What is never waited for may take its time.
    let answered = [
        ("closes", "the connection broke"),
        ("no-mcp", "check that the address is the MCP endpoint"),
        ("refuses-tokens", "token was refused"),
        ("huge", "more than 4 MiB"),
        ("wrong-version", "check that the address is the MCP endpoint"),
        ("one-id-for-all", "got an answer with \"0\""),
        ("redirects", "redirects are not followed"),
        ("lets-one-in", "globex's token was refused"),
    ];
    join_all(answered.map(|(defect, says)| refused(defect, says, Duration::from_secs(60)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_is_waited_for_no_longer_than_the_run_may_take() {
    let began = Instant::now();
    let endless = ["silent", "endless", "drips", "torrent"];
    join_all(endless.map(|defect| refused(defect, "no answer in time", Duration::from_secs(3)))).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_repeats_the_token_is_told_without_it() {
    let stub = Stub::start(&["wrong-version", "secret-in-errors"]).await;
    let error = run(&plan(&stub)).await.unwrap_err().to_string();
    assert!(error.contains("Not for Bearer [token of acme]"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_home_is_said() {
    let stub = Stub::start(&[]).await;
    let plan = plan(&stub);
    stub.stop().await;
    let error = run(&plan).await.unwrap_err().to_string();
    assert!(error.contains("no connection"), "{error}");
}

/// Whatever it turns to: death, floods, answers without an end, something else, nothing, a no to everybody, drops.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_of_no_use_from_the_middle_on_is_never_isolated() {
    let turns = [
        "dies",
        "turns-huge",
        "turns-endless",
        "turns-to-html",
        "turns-to-other-ids",
        "turns-empty",
        "turns-to-nothing",
        "turns-to-cut-json",
        "turns-to-401",
        "turns-to-202",
        "turns-to-500",
        "turns-to-redirect",
        "turns-to-drops",
        "turns-to-torrent",
    ];
    join_all(turns.map(never_isolated)).await;
}

/// Turns the server when the survey is over, whatever that read.
struct Turn(Arc<App>);

impl Progress for Turn {
    fn planned(&mut self, _techniques: usize) {
        self.0.attack_begins();
    }

    fn begins(&mut self, _layer: Option<Layer>, _what: &str) {}

    fn verdict(&mut self, _verdict: &Verdict) {}
}

async fn never_isolated(defect: &'static str) {
    let stub = Stub::start(&[defect]).await;
    stub.app.waits_for_word();
    let mut plan = plan(&stub);
    plan.duration = Duration::from_secs(20);
    plan.allow_writes = true;
    plan.layers = Layer::ALL.to_vec();
    let (_stop, stopped) = watch::channel(false);
    let mut turn = Turn(Arc::clone(&stub.app));
    let _place = waiting_place().await;
    let verdicts = partywall_prober::run(&plan, &mut turn, stopped).await.unwrap();
    assert_eq!(verdicts.verdicts.len(), techniques().len());
    let wrong: Vec<String> = verdicts
        .verdicts
        .iter()
        .filter(|verdict| !matches!(verdict.verdict, Outcome::Inconclusive | Outcome::NotRun))
        .map(|verdict| format!("{} {}: {}", verdict.technique, verdict.verdict.name(), verdict.reason))
        .collect();
    assert!(wrong.is_empty(), "{defect}: {wrong:#?}");
    assert!(verdicts.summary.inconclusive > 0, "{:?}", verdicts.summary);
    assert!(!verdicts.incomplete.is_empty(), "{defect} passes for a complete run");
}

/// What was not tried for want of time, or could not be read, is said in a way that a script can read.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_not_complete_says_so() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    plan.probes = ["DA-01", "DA-02", "DA-13"].map(str::to_owned).to_vec();
    assert_eq!(run(&plan).await.unwrap().incomplete, Vec::<String>::new());
    plan.probes.clear();
    plan.duration = Duration::from_secs(4);
    let late = run(&plan).await.unwrap();
    assert!(late.incomplete.iter().any(|why| why.contains("the time was up")), "{:?}", late.incomplete);
    let said = late.notes.iter().any(|note| note.starts_with("this run is no pass: "));
    assert!(said, "{:?}", late.notes);
    let stub = Stub::start(&["reads-nothing"]).await;
    let mut plan = crate::support::plan(&stub);
    plan.probes = vec!["CR-07".to_owned()];
    let unread = run(&plan).await.unwrap().incomplete;
    assert!(unread.iter().any(|why| why.contains("nothing that could be read as globex")), "{unread:?}");
}

/// Who answers a contradiction with nothing has served it to nobody; whether it was refused cannot be told either.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_with_nothing_was_not_served() {
    let stub = Stub::start(&["contradictions-get-nothing"]).await;
    let mut plan = plan(&stub);
    plan.probes = ["XP-01", "XP-03"].map(str::to_owned).to_vec();
    for verdict in run(&plan).await.unwrap().verdicts {
        assert_eq!(verdict.verdict, Outcome::Inconclusive, "{}: {}", verdict.technique, verdict.reason);
        assert!(verdict.reason.contains("was answered with nothing"), "{}", verdict.reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_never_answers_is_waited_for_once_and_told_of() {
    let stub = Stub::start(&["a-tool-hangs"]).await;
    let mut plan = plan(&stub);
    plan.probes = ["DA-11", "RT-08", "DA-01", "ID-17"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    assert!(verdicts.stats.seconds < 30.0, "{}", verdicts.stats.seconds);
    assert!(
        verdicts.notes.iter().any(|note| note.ends_with("left out: get_forecast")),
        "{:?}",
        verdicts.notes
    );
    let late = verdicts.verdicts.iter().any(|verdict| verdict.reason.contains("time of the run"));
    assert!(!late, "{:?}", verdicts.verdicts);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_in_one_session_are_found() {
    let stub = Stub::start(&["one-session-for-all"]).await;
    let mut plan = plan(&stub);
    plan.probes = ["SE-01", "SE-10"].map(str::to_owned).to_vec();
    let verdicts = run(&plan).await.unwrap();
    assert_eq!(verdicts.summary.leaked, 2, "{:#?}", verdicts.verdicts);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradictions_in_a_plan_are_named() {
    let stub = Stub::start(&[]).await;
    let good = plan(&stub);
    let says = |plan: partywall_prober::Plan| async move { run(&plan).await.unwrap_err().to_string() };
    let mut plan = good.clone();
    plan.tenants.truncate(1);
    assert!(says(plan).await.contains("--tenant NAME=TOKEN"));
    let mut plan = good.clone();
    plan.tenants[1].token = plan.tenants[0].token.clone();
    assert!(says(plan).await.contains("the same token"));
    let mut plan = good.clone();
    plan.tenants[1].tenant = "acme".to_owned();
    assert!(says(plan).await.contains("both tenants are called"));
    let mut plan = good.clone();
    plan.seeds.insert("initech".to_owned(), Vec::new());
    assert!(says(plan).await.contains("initech"));
    let mut plan = good;
    plan.probes = vec!["XX-99".to_owned()];
    assert!(says(plan).await.contains("partywall probes"));
}
