//! What a call's lines do when the disk hangs, and when nobody waits for the reply any more.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use futures_util::FutureExt;
use partywall_model::{Principal, Scopes, TenantId};
use tokio::sync::Notify;

use super::*;
use crate::{
    Reply, Tool, ToolMeta, admit::admit, config::Config, gateway::Gateway, guards::identity::Verified,
    tenants::Issued,
};

/// Writes, as far as anybody knows; it can be made to wait.
struct Change(Arc<Step>);

#[derive(Default)]
struct Step {
    waits: AtomicBool,
    came: Notify,
    go_on: Notify,
}

impl Tool for Change {
    type Args = Map<String, Value>;

    fn meta(&self) -> ToolMeta {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        ToolMeta::new("change", "Changes something.").schema(schema)
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Self::Args) -> Result<Reply<'t>, ToolError> {
        self.0.came.notify_one();
        if self.0.waits.load(SeqCst) {
            self.0.go_on.notified().await;
        }
        Ok(cx.text("changed".to_owned()))
    }
}

struct Desk {
    folder: tempfile::TempDir,
    gateway: Gateway,
    step: Arc<Step>,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "[server]\ncall_timeout = \"1s\"\n[identity]\ndevelopment = true\n";
        let config = Config::parse(text, "test", folder.path()).expect("a configuration");
        let step = Arc::<Step>::default();
        let gateway = Gateway::builder(config).tool(Change(Arc::clone(&step))).open().expect("a gateway");
        gateway.administration().registry.add(&Self::tenant()).expect("added");
        Self { folder, gateway, step }
    }

    fn tenant() -> TenantId {
        TenantId::parse("acme").expect("an id")
    }

    async fn permit(&self) -> Permit {
        self.permit_until(u64::MAX).await
    }

    async fn permit_until(&self, expires_at: u64) -> Permit {
        let principal = Principal {
            tenant: Self::tenant(),
            issuer: "test".into(),
            subject: "tester".into(),
            scopes: Scopes::default(),
        };
        let verified = Verified { principal: Arc::new(principal), expires_at, issued: Issued::Unknown };
        let services = self.gateway.live.services();
        admit(&services, &verified, None, services.next_request()).await.expect("admitted")
    }

    /// One call of the tool that writes, as far as its reply.
    async fn call(&self) -> Result<String, String> {
        self.call_with(self.permit().await).await
    }

    async fn call_with(&self, permit: Permit) -> Result<String, String> {
        let params = Params { name: Some("change".into()), ..Params::default() };
        let era = Era::Legacy { batches: false };
        let Ok(call) = Call::prepare(&permit, &HeaderMap::new(), era, params, false).await else {
            return Err("it cannot run".to_owned());
        };
        let done = context::enter(permit, call.finish()).await;
        done.map_err(|refusal| refusal.error.message.into_owned())
    }

    /// The outcomes and reasons of the log's lines.
    fn lines(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.path().join("data/audit/acme.jsonl")).expect("a log");
        let read = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line");
            let of = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            (of("outcome"), of("reason"))
        };
        text.lines().map(read).collect()
    }

    fn outcomes(&self) -> Vec<String> {
        self.lines().into_iter().map(|(outcome, _)| outcome).collect()
    }
}

#[tokio::test]
async fn a_change_that_the_disk_does_not_take_note_of_does_not_begin() {
    let desk = Desk::new();
    assert!(desk.call().await.expect("changes").contains("changed"));
    desk.step.came.notified().await;
    let audit = &desk.gateway.lasting.audit;
    let disk = audit.disk_of(&Desk::tenant());
    let hangs = disk.hang().await;
    let told = desk.call().await.expect("a result");
    assert!(
        told.contains("audit log cannot be written now") && told.contains("nothing was changed"),
        "{told}"
    );
    assert!(desk.step.came.notified().now_or_never().is_none(), "it did not begin");
    drop(hangs);
    assert!(desk.call().await.expect("changes").contains("changed"));
}

/// Its time being over is no news of the disk, which the operator would look at for nothing.
#[tokio::test]
async fn a_change_whose_time_is_over_does_not_begin_and_says_so() {
    let desk = Desk::new();
    let told = desk.call_with(desk.permit_until(1).await).await.expect("a result");
    assert!(told.contains("took too long") && !told.contains("audit log"), "{told}");
    assert!(desk.step.came.notified().now_or_never().is_none(), "it did not begin");
    assert_eq!(desk.lines(), [("error".to_owned(), "the time limit was reached".to_owned())]);
    // Nor when the time ends while its line is on the way.
    let disk = desk.gateway.lasting.audit.disk_of(&Desk::tenant());
    let hangs = disk.hang().await;
    let now = desk.gateway.lasting.clock.since_epoch();
    let next_second = Duration::from_secs(now.as_secs() + 1) - now;
    tokio::time::sleep(next_second.saturating_sub(Duration::from_millis(200))).await;
    let told = desk.call_with(desk.permit_until(now.as_secs() + 1).await).await.expect("a result");
    assert!(told.contains("took too long"), "{told}");
    drop(hangs);
}

#[tokio::test]
async fn a_change_whose_end_the_disk_does_not_take_note_of_says_so() {
    let desk = Desk::new();
    desk.call().await.expect("changes");
    desk.step.came.notified().await;
    desk.step.waits.store(true, SeqCst);
    let disk = desk.gateway.lasting.audit.disk_of(&Desk::tenant());
    let (told, _hangs) = tokio::join!(desk.call(), async {
        desk.step.came.notified().await;
        let hangs = disk.hang().await;
        desk.step.go_on.notify_one();
        hangs
    });
    let told = told.expect("a result");
    assert!(told.contains("was carried out") && told.contains("could not note how it ended"), "{told}");
}

/// A call has one line for its end, whenever its caller goes away.
#[tokio::test]
async fn a_call_whose_caller_goes_away_has_one_line_for_its_end() {
    let desk = Desk::new();
    // While the tool runs.
    desk.step.waits.store(true, SeqCst);
    {
        let mut call = Box::pin(desk.call());
        tokio::select! {
            _ = &mut call => panic!("it waits"),
            () = desk.step.came.notified() => {}
        }
    }
    assert_eq!(desk.outcomes(), ["started", "error"]);
    assert!(desk.lines()[1].1.contains("went away"), "{:?}", desk.lines());
    // After it has ended, while its line is on the way to the disk.
    desk.step.waits.store(false, SeqCst);
    {
        let mut call = Box::pin(desk.call());
        // The tool ends at once, so whoever sees that it came finds the call at its last line.
        tokio::select! {
            biased;
            _ = &mut call => panic!("its line takes a moment"),
            () = desk.step.came.notified() => {}
        }
    }
    assert_eq!(desk.outcomes(), ["started", "error", "started", "ok"]);
    assert!(desk.call().await.is_ok());
    assert_eq!(desk.outcomes().len(), 6);
}
