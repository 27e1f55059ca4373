//! What a client sent along with one call: its capabilities, its answers, and where progress goes.

use std::{collections::BTreeMap, sync::Arc};

use rmcp::model::{ClientCapabilities, InputRequest, InputRequests};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::tools::ToolError;

/// What the client said in this very request; nothing is remembered from an earlier one.
#[derive(Default)]
pub(crate) struct Turn {
    /// The tool's name.
    pub(crate) tool: Arc<str>,
    /// SHA-256 of the canonical arguments, which sealed state is bound to.
    pub(crate) arguments_digest: [u8; 32],
    /// What the client can do.
    pub(crate) capabilities: ClientCapabilities,
    /// Whether the client's revision knows questions in results.
    pub(crate) can_be_asked: bool,
    /// Answers to the questions of the round before.
    pub(crate) answers: BTreeMap<String, Value>,
    /// The opened state of the round before.
    pub(crate) resumed: Option<String>,
    /// Where progress goes, if the client asked for it.
    pub(crate) progress: Option<ProgressSink>,
}

impl Turn {
    /// Whether the client can be asked these questions.
    pub(crate) fn may_ask(&self, questions: &InputRequests) -> Result<(), ToolError> {
        if !self.can_be_asked {
            return Err(ToolError::failed(
                "This tool asks questions while it works, which the client's protocol revision cannot answer.",
            ));
        }
        let mut missing = ClientCapabilities::default();
        let mut lacking = false;
        for question in questions.values() {
            match question {
                InputRequest::Elicitation(_) if self.capabilities.elicitation.is_none() => {
                    missing.elicitation = Some(rmcp::model::ElicitationCapability::default());
                    lacking = true;
                }
                InputRequest::CreateMessage(_) if self.capabilities.sampling.is_none() => {
                    missing.sampling = Some(rmcp::model::SamplingCapability::default());
                    lacking = true;
                }
                InputRequest::ListRoots(_) if self.capabilities.roots.is_none() => {
                    missing.roots = Some(rmcp::model::RootsCapabilities::default());
                    lacking = true;
                }
                _ => {}
            }
        }
        if lacking { Err(ToolError::MissingCapability(Box::new(missing))) } else { Ok(()) }
    }
}

/// One step of a call's progress.
pub(crate) struct Progress {
    pub(crate) done: f64,
    pub(crate) total: Option<f64>,
    pub(crate) message: Option<String>,
}

/// Where a call's progress goes: the one stream of the request that asked.
pub(crate) struct ProgressSink(mpsc::Sender<Progress>);

impl ProgressSink {
    /// How many steps may wait for a slow reader before the tool waits too.
    const QUEUE: usize = 16;

    pub(crate) fn new() -> (Self, mpsc::Receiver<Progress>) {
        let (sender, receiver) = mpsc::channel(Self::QUEUE);
        (Self(sender), receiver)
    }

    /// Waits while the reader is slow; says nothing when it is gone, since the call ends with it.
    pub(crate) async fn send(&self, step: Progress) {
        let _gone = self.0.send(step).await;
    }
}
