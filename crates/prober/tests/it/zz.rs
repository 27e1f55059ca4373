//! Temporary.
use partywall_model::{Layer, Verdict};
use partywall_prober::Progress;
use tokio::sync::watch;
use crate::{stub::Stub, support::plan};
struct Timed(std::time::Instant, String);
impl Progress for Timed {
    fn begins(&mut self, _l: Option<Layer>, what: &str) { if self.1.is_empty() { self.1 = what.to_owned(); } else { eprintln!("{:>6} begin {}", self.0.elapsed().as_millis(), what); } self.0 = std::time::Instant::now(); }
    fn verdict(&mut self, v: &Verdict) { eprintln!("ZZ {:>6} {} {}", self.0.elapsed().as_millis(), v.technique, v.verdict.name()); self.0 = std::time::Instant::now(); }
}
#[tokio::test(flavor = "multi_thread")]
async fn zz() {
    let stub = Stub::start(&[]).await;
    let mut plan = plan(&stub);
    if std::env::var("ZZL").is_ok() { plan.layers = vec![Layer::Capacity]; }
    plan.quick = std::env::var("ZZQ").is_ok();
    plan.allow_writes = std::env::var("ZZW").is_ok();
    plan.duration = std::time::Duration::from_secs(200);
    let (_stop, stopped) = watch::channel(false);
    let v = partywall_prober::run(&plan, &mut Timed(std::time::Instant::now(), String::new()), stopped).await.unwrap();
    eprintln!("ZZ {:?} {:?}", v.stats, v.summary);
    for v in v.verdicts { if matches!(v.verdict.name(), "inconclusive"|"leaked"|"not-run") { eprintln!("ZZ {} {} {}", v.technique, v.verdict.name(), v.reason) } }
}

#[tokio::test]
async fn zc() {
    let a = std::time::Instant::now();
    for _ in 0..50 { let _c = reqwest::Client::builder().no_proxy().build().unwrap(); }
    eprintln!("ZC {:?} each", a.elapsed() / 50);
}
