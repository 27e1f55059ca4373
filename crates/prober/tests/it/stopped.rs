//! A run that is stopped in the middle: what it had stands, and it leaves no session behind.

use partywall_model::{Layer, Outcome, Verdict};
use partywall_prober::Progress;
use tokio::sync::watch;

use crate::{
    stub::Stub,
    support::{plan, run},
};

/// Stops a run when a technique has begun two sessions of its own.
struct Stopper {
    begun: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    last: &'static str,
}

impl Progress for Stopper {
    fn begins(&mut self, layer: Option<Layer>, what: &str) {
        if layer.is_none() || what != self.last {
            return;
        }
        let (mut begun, stop) = (self.begun.clone(), self.stop.clone());
        let before = *begun.borrow();
        tokio::spawn(async move {
            begun.wait_for(|now| *now >= before + 2).await.unwrap();
            stop.send_replace(true);
        });
    }

    fn verdict(&mut self, _verdict: &Verdict) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_stopped_prints_what_it_had_and_leaves_no_session() {
    let stub = Stub::start(&["get-without-filter"]).await;
    let mut plan = plan(&stub);
    plan.probes = ["DA-01", "SE-10", "SE-12"].map(str::to_owned).to_vec();
    let (stop, stopped) = watch::channel(false);
    let last = partywall_prober::probes().iter().flat_map(|probe| probe.techniques);
    let last = last.clone().find(|technique| technique.id == "SE-10").unwrap().name;
    let mut stopper = Stopper { begun: stub.begun(), stop, last };
    let verdicts = partywall_prober::run(&plan, &mut stopper, stopped).await.unwrap().verdicts;
    let of = |id: &str| verdicts.iter().find(|verdict| verdict.technique == id).unwrap();
    assert_eq!(of("DA-01").verdict, Outcome::Leaked);
    for id in ["SE-10", "SE-12"] {
        assert_eq!(
            (of(id).verdict, of(id).reason.as_str()),
            (Outcome::NotRun, "the run was stopped"),
            "{id}"
        );
    }
    assert_eq!(stub.sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_by_itself_leaves_no_session_either() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    plan.probes = vec!["foreign-session".to_owned()];
    let verdicts = run(&plan).await.unwrap();
    assert!(verdicts.summary.isolated > 3, "{:?}", verdicts.verdicts);
    assert!(*stub.begun().borrow() > 10);
    assert_eq!(stub.sessions(), 0);
}
