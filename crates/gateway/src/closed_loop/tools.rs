//! Native tools of the stage: each leans on one guard.

use std::{collections::BTreeMap, path::PathBuf, sync::Mutex, time::Duration};

use rmcp::model::{InputRequest, ToolAnnotations};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{Cx, Reply, Tool, ToolError, ToolMeta, context, guards::disclosure::audit};

#[derive(Deserialize, JsonSchema)]
pub(super) struct Nothing {}

/// A tool that says of itself that it only reads.
fn reads(name: &'static str, description: &'static str) -> ToolMeta {
    ToolMeta::new(name, description).annotations(ToolAnnotations::new().read_only(true))
}

/// Remembers, does something else, and looks what it remembers.
pub(super) struct CurrentDesk;

impl Tool for CurrentDesk {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        reads("current_desk", "Returns the desk that the call was made for.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Nothing) -> Result<Reply<'t>, ToolError> {
        let desk = format!("desk of {}", cx.tenant());
        cx.state::<Mutex<String>>().with(|kept| kept.lock().unwrap().clone_from(&desk));
        // Some work during which other calls run.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let kept = cx.state::<Mutex<String>>().with(|kept| kept.lock().unwrap().clone());
        cx.json(kept.map(|desk| json!({ "desk": desk })))
    }
}

/// Asks a task of its own, which belongs to no request, whose desk it works for.
pub(super) struct AfterHoursDesk;

impl Tool for AfterHoursDesk {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        reads("after_hours_desk", "Returns the caller's desk, and the one that work without a caller is for.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Nothing) -> Result<Reply<'t>, ToolError> {
        let own = format!("desk of {}", cx.tenant());
        #[expect(clippy::disallowed_methods, reason = "the mistake that the guard is there for")]
        let work = tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            context::current().map(|current| format!("night desk of {}", current.tenant()))
        });
        let night = work.await.map_err(|error| ToolError::internal(error.to_string()))?;
        let night = night.unwrap_or_else(|_nobody| "nobody".to_owned());
        cx.json(cx.own(json!({ "desk": own, "night": night })))
    }
}

/// Asks before it tells of the desk, and carries along which one that is.
pub(super) struct ConfirmedDesk;

impl Tool for ConfirmedDesk {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        reads("confirmed_desk", "Returns the desk after a question.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Nothing) -> Result<Reply<'t>, ToolError> {
        let asked: Option<String> = cx.resumed()?;
        if let (Some(desk), Some(_)) = (asked, cx.answer("sure")) {
            return cx.json(cx.own(json!({ "desk": desk })));
        }
        let question = json!({"method": "elicitation/create", "params": {
            "message": "Are you sure?",
            "requestedSchema": {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}}});
        let question: InputRequest =
            serde_json::from_value(question).map_err(|error| ToolError::internal(error.to_string()))?;
        let questions = BTreeMap::from([("sure".to_owned(), question)]);
        cx.ask(questions, Some(&format!("desk of {}", cx.tenant())))
    }
}

/// Shows a tenant what stands last in its log.
pub(super) struct DeskActivity {
    pub(super) data: PathBuf,
}

impl Tool for DeskActivity {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        reads("desk_activity", "Returns the last lines of the desk's log.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Nothing) -> Result<Reply<'t>, ToolError> {
        let lines = audit::tail(&self.data, cx.tenant().as_str(), 20)
            .map_err(|error| ToolError::internal(error.to_string()))?;
        let lines: Vec<serde_json::Value> =
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        cx.json(cx.own(json!({ "lines": lines })))
    }
}

/// Takes its time.
pub(super) struct SlowReport;

impl Tool for SlowReport {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        reads("slow_report", "Returns a report that takes its time.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Nothing) -> Result<Reply<'t>, ToolError> {
        tokio::time::sleep(Duration::from_millis(40)).await;
        cx.json(cx.own(json!({ "report": format!("report of {}", cx.tenant()) })))
    }
}
