//! Native tools that do what tools of others will do: take long, fail, panic, remember, lose their context.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use partywall_gateway::{Cx, GatewayBuilder, Reply, Tool, ToolError, ToolMeta, context};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{Canaries, Gates};

pub(super) fn add(builder: GatewayBuilder, gates: &Arc<Gates>, canaries: &Arc<Canaries>) -> GatewayBuilder {
    builder
        .tool(Slow(Arc::clone(gates)))
        .tool(Broken(Arc::clone(canaries)))
        .tool(Remember)
        .tool(Ambient)
        .tool(Note(Arc::clone(gates), Arc::clone(canaries)))
        .tool(Key)
        .tool_for(&["acme"], AcmeNotes(Arc::clone(canaries)))
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// Waits at the tenant's gate, with progress before and after.
struct Slow(Arc<Gates>);

#[derive(Deserialize, JsonSchema)]
struct Tag {
    tag: String,
}

impl Tool for Slow {
    type Args = Tag;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("slow", "Takes its time.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Tag { tag }: Tag) -> Result<Reply<'t>, ToolError> {
        let before = context::current().map_err(|error| ToolError::internal(error.to_string()))?;
        cx.progress(1.0, Some(2.0), Some(&format!("{} begins {tag}", cx.tenant()))).await;
        self.0.of(cx.tenant().as_str()).pass().await;
        cx.progress(2.0, Some(2.0), Some(&format!("{} ends {tag}", cx.tenant()))).await;
        let after = context::current().map_err(|error| ToolError::internal(error.to_string()))?;
        let remembered = cx.state::<Mutex<String>>().with(|kept| kept.lock().unwrap().clone());
        let seen = json!({
            "tenant": cx.tenant().as_str(), "subject": cx.subject(), "tag": tag,
            "before": before.tenant().as_str(), "after": after.tenant().as_str(),
        });
        cx.json(remembered.map(|kept| json!({ "seen": seen, "kept": kept })))
    }
}

/// Fails in the way that is asked for, with the tenant's own mark in everything it says.
struct Broken(Arc<Canaries>);

#[derive(Deserialize, JsonSchema)]
struct How {
    how: String,
}

impl Tool for Broken {
    type Args = How;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("broken", "Fails.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, How { how }: How) -> Result<Reply<'t>, ToolError> {
        tokio::task::yield_now().await;
        let text = format!("broken for {} {}", cx.tenant(), self.0.text_of(cx.tenant().as_str()));
        match how.as_str() {
            // Not the macro, whose message would fill the test's output.
            "panic" => std::panic::resume_unwind(Box::new(text)),
            "locked" => {
                let state = cx.state::<Mutex<String>>();
                let _poisoned = state.with(|kept| {
                    let _guard = kept.lock();
                    std::panic::resume_unwind(Box::new(text))
                });
                Err(ToolError::NotFound)
            }
            "internal" => Err(ToolError::internal(text)),
            "failed" => Err(ToolError::failed(text)),
            _ => Err(ToolError::NotFound),
        }
    }
}

/// Keeps one text for the tenant.
struct Remember;

#[derive(Deserialize, JsonSchema)]
struct Kept {
    text: Option<String>,
}

impl Tool for Remember {
    type Args = Kept;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("remember", "Keeps a text.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Kept { text }: Kept) -> Result<Reply<'t>, ToolError> {
        let state = cx.state::<Mutex<String>>();
        if let Some(text) = text {
            state.with(|kept| *kept.lock().unwrap() = text);
        }
        cx.json(state.with(|kept| json!({ "kept": *kept.lock().unwrap() })))
    }
}

/// Asks who the tenant is, in every place where that gets lost.
struct Ambient;

impl Tool for Ambient {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("ambient", "Who is the tenant here, and there?")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Nothing {}: Nothing) -> Result<Reply<'t>, ToolError> {
        fn here() -> String {
            context::current().map_or_else(|_none| "none".to_owned(), |who| who.tenant().to_string())
        }
        let direct = here();
        tokio::time::timeout(Duration::from_secs(9), tokio::task::yield_now()).await.unwrap();
        let timer = here();
        let scoped = context::spawn(async { here() }).unwrap().await.unwrap();
        let nested = context::spawn(async { context::spawn(async { here() }).unwrap().await.unwrap() });
        let nested = nested.unwrap().await.unwrap();
        let blocking = tokio::task::spawn_blocking(here).await.unwrap();
        let thread = std::thread::spawn(here).join().unwrap();
        let detached = super::task(async { here() }).await.unwrap();
        cx.json(json!({
            "direct": direct, "timer": timer, "scoped": scoped, "nested": nested,
            "blocking": blocking, "thread": thread, "detached": detached,
        }))
    }
}

/// Caches a text under a key that the caller chooses.
struct Note(Arc<Gates>, Arc<Canaries>);

#[derive(Deserialize, JsonSchema)]
struct Named {
    key: String,
}

impl Tool for Note {
    type Args = Named;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("cached_note", "A note, made once.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Named { key }: Named) -> Result<Reply<'t>, ToolError> {
        let made = async {
            if key.starts_with("slow") {
                self.0.of(&format!("note {}", cx.tenant())).pass().await;
            }
            let text = format!("{key} {}", self.1.text_of(cx.tenant().as_str()));
            Ok(cx.own(text))
        };
        let text = cx.cached(&key, Duration::from_secs(3600), made).await?;
        Ok(cx.text(text.map(|text| text.to_string())))
    }
}

/// Says whether the tenant has a key, not which.
struct Key;

impl Tool for Key {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("key_length", "How long is the key of the CRM?")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Nothing {}: Nothing) -> Result<Reply<'t>, ToolError> {
        let secret = cx.secret("crm_api_key").await?;
        cx.json(json!({ "length": secret.expose().len() }))
    }
}

/// A tool that one tenant alone has; even its name and its schema are that tenant's.
struct AcmeNotes(Arc<Canaries>);

#[derive(Deserialize, JsonSchema)]
#[schemars(extend("properties" = {"region": {"type": "string", "x-mcp-header": "Region"}}))]
struct Region {
    region: Option<String>,
}

impl Tool for AcmeNotes {
    type Args = Region;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("acme_notes", "Notes that acme alone has.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Region { region }: Region) -> Result<Reply<'t>, ToolError> {
        cx.json(json!({ "note": self.0.text_of(cx.tenant().as_str()), "region": region }))
    }
}
