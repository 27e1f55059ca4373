//! Native tools: a Rust type that answers calls.

use std::{collections::BTreeSet, future::Future, marker::PhantomData, pin::Pin, sync::Arc};

use rmcp::model::ToolAnnotations;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::ToolError;
use crate::cx::{Cx, Reply};

/// A tool written in Rust.
///
/// The arguments are typed and their JSON Schema is derived. The context comes by value and carries the call's brand
/// `'t`; so does the reply, which can be made from this context only. A schema that names a tenant is refused when
/// the tool is registered.
///
/// ```
#[doc = include_str!("../../tests/compile_fail/greet.rs")]
/// ```
pub trait Tool: Send + Sync + 'static {
    /// The arguments.
    type Args: DeserializeOwned + JsonSchema + Send;

    /// The tool's name, description and the rest of what clients are told.
    fn meta(&self) -> ToolMeta;

    /// Answers one call.
    fn call<'t>(
        &'t self,
        cx: Cx<'t>,
        args: Self::Args,
    ) -> impl Future<Output = Result<Reply<'t>, ToolError>> + Send + 't;
}

/// What clients are told about a tool.
#[derive(Debug, Clone)]
pub struct ToolMeta {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) title: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) annotations: Option<ToolAnnotations>,
    pub(crate) schema: Option<Map<String, Value>>,
}

impl ToolMeta {
    /// A tool's name on the wire and what it does, for models.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            title: None,
            scope: None,
            annotations: None,
            schema: None,
        }
    }

    /// A title for people.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The scope a caller needs.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Hints for clients.
    #[must_use]
    pub fn annotations(mut self, annotations: ToolAnnotations) -> Self {
        self.annotations = Some(annotations);
        self
    }

    /// A JSON Schema for the arguments in place of the derived one.
    #[must_use]
    pub fn schema(mut self, schema: Map<String, Value>) -> Self {
        self.schema = Some(schema);
        self
    }
}

/// A native tool, ready to be registered.
#[derive(Clone)]
pub struct NativeTool {
    pub(crate) meta: ToolMeta,
    pub(crate) schema: Map<String, Value>,
    pub(crate) tenants: Option<BTreeSet<String>>,
    pub(crate) tool: Arc<dyn ErasedTool>,
}

impl NativeTool {
    /// Wraps a tool.
    pub fn new<T: Tool>(tool: T) -> Self {
        let meta = tool.meta();
        let schema = meta.schema.clone().unwrap_or_else(derived_schema::<T::Args>);
        Self { meta, schema, tenants: None, tool: Arc::new(Erased { tool, args: PhantomData }) }
    }

    /// Only the named tenants have the tool.
    #[must_use]
    pub fn only_for(mut self, tenants: &[&str]) -> Self {
        self.tenants = Some(tenants.iter().map(|tenant| (*tenant).to_owned()).collect());
        self
    }
}

fn derived_schema<A: JsonSchema>() -> Map<String, Value> {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<A>();
    let mut map = match schema.to_value() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    map.remove("title");
    map.entry("type").or_insert_with(|| "object".into());
    map.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    map
}

type CallFuture<'t> = Pin<Box<dyn Future<Output = Result<Reply<'t>, ToolError>> + Send + 't>>;

/// A [`Tool`] without its argument type. Generic over `'t`, which is what makes each call's brand its own.
pub(crate) trait ErasedTool: Send + Sync {
    fn call<'t>(&'t self, cx: Cx<'t>, args: Map<String, Value>) -> CallFuture<'t>;
}

struct Erased<T: Tool> {
    tool: T,
    args: PhantomData<fn(T::Args)>,
}

impl<T: Tool> ErasedTool for Erased<T> {
    fn call<'t>(&'t self, cx: Cx<'t>, args: Map<String, Value>) -> CallFuture<'t> {
        match serde_json::from_value::<T::Args>(Value::Object(args)) {
            Ok(args) => Box::pin(self.tool.call(cx, args)),
            Err(error) => {
                let error = ToolError::invalid(format!("The arguments do not fit: {error}."));
                Box::pin(std::future::ready(Err(error)))
            }
        }
    }
}
