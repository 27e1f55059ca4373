//! A server with the tools that the official conformance suite calls by name.
//!
//! It makes a folder of its own with one tenant, prints `{"url":…,"token":…}` on one line and serves until its
//! standard input ends, so that it cannot outlive whoever started it. `tests/conformance/run.mjs` does.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::TcpListener,
    time::Duration,
};

use partywall_gateway::{
    Cx, Gateway, GatewayBuilder, Reply, Tool, ToolError, ToolMeta,
    clock::Clock,
    config::Config,
    guards::identity::DevelopmentIssuer,
    model::{
        CallToolResult, ClientCapabilities, ContentBlock, InputRequest, ResourceContents, SamplingCapability,
    },
};
use partywall_model::TenantId;
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

type Error = Box<dyn std::error::Error>;
type Arguments = Map<String, Value>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let file = folder.path().join("partywall.toml");
    fs::write(&file, configuration(&listener.local_addr()?.to_string()))?;
    let gateway = furnished(Gateway::builder(Config::load(&file)?)).open()?;

    let tenant = TenantId::parse("conformance")?;
    gateway.administration().registry.add(&tenant)?;
    let config = gateway.config();
    let issuer = DevelopmentIssuer::open_or_create(&config.data_dir(), &config.resource())?;
    let token = issuer.mint(&tenant, "suite", "", Duration::from_secs(3600), &Clock::system())?;

    let server = gateway.serve_on(listener).await?;
    let ready = json!({ "url": format!("http://{}/mcp", server.address()), "token": token.expose_secret() });
    writeln!(std::io::stdout(), "{ready}")?;
    server.serve(input_ended()).await;
    Ok(())
}

/// The suite sends bursts from one caller, so the limits are far away.
fn configuration(address: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}\"\nname = \"conformance\"\ndrain_timeout = \"1s\"\n\
         [identity]\ndevelopment = true\n\
         [capacity]\nrequests_per_second = 10000\nburst = 10000\nconcurrent_requests = 1000\n"
    )
}

async fn input_ended() {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    // However the reading ended, nobody is at the other end any more.
    let _ended = read.await;
}

/// All fixtures. The first one is called by the suite without arguments.
fn furnished(builder: GatewayBuilder) -> GatewayBuilder {
    let fixtures: [(&'static str, Answer); 17] = [
        ("test_simple_text", simple_text),
        ("test_image_content", image),
        ("test_audio_content", audio),
        ("test_embedded_resource", embedded_resource),
        ("test_multiple_content_types", several_kinds),
        ("test_error_handling", failure),
        ("test_missing_capability", needs_sampling),
        ("test_streaming_elicitation", asks_for_a_name),
        ("test_logging_tool", logs_nothing),
        ("test_input_required_result_elicitation", asks_for_a_name),
        ("test_input_required_result_sampling", asks_a_model),
        ("test_input_required_result_list_roots", asks_for_roots),
        ("test_input_required_result_request_state", confirms),
        ("test_input_required_result_tampered_state", confirms),
        ("test_input_required_result_multiple_inputs", asks_for_everything),
        ("test_input_required_result_multi_round", asks_twice),
        ("test_input_required_result_capabilities", asks_what_is_possible),
    ];
    let mut builder = builder;
    for (name, answer) in fixtures {
        builder =
            builder.tool(Fixture { name, schema: json!({ "type": "object", "properties": {} }), answer });
    }
    builder
        .tool(Fixture { name: "json_schema_2020_12_tool", schema: broad_schema(), answer: simple_text })
        .tool(Fixture { name: "test_custom_header", schema: mirrored_schema(), answer: echo })
        .tool(Progress)
}

/// A fixture that answers at once.
struct Fixture {
    name: &'static str,
    schema: Value,
    answer: Answer,
}

type Answer = for<'t> fn(Cx<'t>, &Arguments) -> Result<Reply<'t>, ToolError>;

impl Tool for Fixture {
    type Args = Arguments;

    fn meta(&self) -> ToolMeta {
        let schema = self.schema.as_object().cloned().unwrap_or_default();
        ToolMeta::new(self.name, format!("Fixture of the conformance suite: {}.", self.name)).schema(schema)
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, args: Arguments) -> Result<Reply<'t>, ToolError> {
        (self.answer)(cx, &args)
    }
}

/// Says three times how far it is, with time between.
struct Progress;

impl Tool for Progress {
    type Args = Arguments;

    fn meta(&self) -> ToolMeta {
        let schema = json!({ "type": "object", "properties": {} });
        ToolMeta::new("test_tool_with_progress", "Fixture of the conformance suite: reports progress.")
            .schema(schema.as_object().cloned().unwrap_or_default())
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Arguments) -> Result<Reply<'t>, ToolError> {
        for done in [0.0, 50.0, 100.0] {
            cx.progress(done, Some(100.0), Some("on the way")).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(cx.text("done".to_owned()))
    }
}

// Content.

/// A picture of one red point, as PNG.
const POINT: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A sound of no samples, as WAV.
const SILENCE: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=";

fn simple_text<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    Ok(cx.text("This is a simple text response for testing.".to_owned()))
}

fn image<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    Ok(cx.result(CallToolResult::success(vec![ContentBlock::image(POINT, "image/png")])))
}

fn audio<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    Ok(cx.result(CallToolResult::success(vec![ContentBlock::audio(SILENCE, "audio/wav")])))
}

fn resource(uri: &str, kind: &str, text: &str) -> Result<ContentBlock, ToolError> {
    let contents: ResourceContents =
        serde_json::from_value(json!({ "uri": uri, "mimeType": kind, "text": text }))
            .map_err(|error| ToolError::internal(error.to_string()))?;
    Ok(ContentBlock::resource(contents))
}

fn embedded_resource<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    let embedded =
        resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")?;
    Ok(cx.result(CallToolResult::success(vec![embedded])))
}

fn several_kinds<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    let content = vec![
        ContentBlock::text("Multiple content types test:"),
        ContentBlock::image(POINT, "image/png"),
        resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#)?,
    ];
    Ok(cx.result(CallToolResult::success(content)))
}

fn failure<'t>(_: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    Err(ToolError::failed("This tool intentionally returns an error for testing"))
}

/// The gateway sends no log messages, whatever a client asks for.
fn logs_nothing<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    Ok(cx.text("nothing was logged".to_owned()))
}

fn echo<'t>(cx: Cx<'t>, args: &Arguments) -> Result<Reply<'t>, ToolError> {
    let value = args.get("value").and_then(Value::as_str);
    Ok(cx.text(value.ok_or_else(|| ToolError::invalid("`value` must be a string."))?.to_owned()))
}

// Questions to the client.

fn elicit(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { field: { "type": kind } }, "required": [field] });
    json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": schema } })
}

fn ask_for_name() -> Value {
    elicit("What is your name?", "name", "string")
}

fn sample(prompt: &str) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": prompt } });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": 100 } })
}

fn list_roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

fn ask<'t, const N: usize>(
    cx: Cx<'t>,
    questions: [(&str, Value); N],
    state: Option<&Value>,
) -> Result<Reply<'t>, ToolError> {
    let mut requests = BTreeMap::new();
    for (key, question) in questions {
        let question: InputRequest =
            serde_json::from_value(question).map_err(|error| ToolError::internal(error.to_string()))?;
        requests.insert(key.to_owned(), question);
    }
    cx.ask(requests, state)
}

fn needs_sampling<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    if cx.client_capabilities().sampling.is_some() {
        return Ok(cx.text("the client can sample".to_owned()));
    }
    let mut missing = ClientCapabilities::default();
    missing.sampling = Some(SamplingCapability::default());
    Err(ToolError::MissingCapability(Box::new(missing)))
}

fn asks_for_a_name<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    match cx.answer("user_name").and_then(|answer| answer.get("content")?.get("name")?.as_str()) {
        Some(name) => Ok(cx.text(format!("Hello, {name}!"))),
        None => ask(cx, [("user_name", ask_for_name())], None),
    }
}

fn asks_a_model<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    match cx.answer("capital_question").and_then(|answer| answer.get("content")?.get("text")?.as_str()) {
        Some(text) => Ok(cx.text(format!("The model says: {text}"))),
        None => ask(cx, [("capital_question", sample("What is the capital of France?"))], None),
    }
}

fn asks_for_roots<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    match cx.answer("client_roots").and_then(|answer| answer.get("roots")?.as_array()) {
        Some(roots) => Ok(cx.text(format!("{} roots: {}", roots.len(), Value::from(roots.clone())))),
        None => ask(cx, [("client_roots", list_roots())], None),
    }
}

fn confirms<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    let asked: Option<Value> = cx.resumed()?;
    let confirmed = cx.answer("confirm").is_some_and(|answer| answer.get("action") == Some(&"accept".into()));
    match asked {
        Some(state) if state == "asked" && confirmed => Ok(cx.text("state-ok".to_owned())),
        _ => ask(cx, [("confirm", elicit("Please confirm", "ok", "boolean"))], Some(&"asked".into())),
    }
}

fn asks_for_everything<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    let asked: Option<Value> = cx.resumed()?;
    let keys = ["user_name", "greeting", "client_roots"];
    if asked.is_some() && keys.iter().all(|key| cx.answer(key).is_some()) {
        return Ok(cx.text("all three answers came".to_owned()));
    }
    let [name, greeting, roots] = keys;
    let questions =
        [(name, ask_for_name()), (greeting, sample("Generate a greeting")), (roots, list_roots())];
    ask(cx, questions, Some(&"asked".into()))
}

fn asks_twice<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    match cx.resumed::<u8>()? {
        None => ask(cx, [("step1", elicit("Step 1: What is your name?", "name", "string"))], Some(&1.into())),
        Some(1) if cx.answer("step1").is_some() => {
            let question = elicit("Step 2: What is your favorite color?", "color", "string");
            ask(cx, [("step2", question)], Some(&2.into()))
        }
        Some(2) if cx.answer("step2").is_some() => Ok(cx.text("both answers came".to_owned())),
        Some(_) => Err(ToolError::invalid("The answer to the step before is missing.")),
    }
}

fn asks_what_is_possible<'t>(cx: Cx<'t>, _: &Arguments) -> Result<Reply<'t>, ToolError> {
    let able = cx.client_capabilities();
    match (&able.sampling, &able.elicitation) {
        _ if cx.answer("greeting").is_some() || cx.answer("user_name").is_some() => {
            Ok(cx.text("the answer came".to_owned()))
        }
        (Some(_), _) => ask(cx, [("greeting", sample("Generate a greeting"))], None),
        (None, Some(_)) => ask(cx, [("user_name", ask_for_name())], None),
        (None, None) => Ok(cx.text("the client can answer nothing".to_owned())),
    }
}

// Schemas.

fn mirrored_schema() -> Value {
    json!({
        "type": "object",
        "properties": { "value": { "type": "string", "x-mcp-header": "Value" } },
        "required": ["value"],
    })
}

/// One of each family of keywords that a gateway might lose on the way.
fn broad_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
        } },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
