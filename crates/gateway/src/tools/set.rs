//! All tools of a server: found by name, listed in order, visible to the tenants that have them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use partywall_model::TenantId;
use rmcp::model::{Tool as Definition, ToolAnnotations};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{
    ArgTable, ErasedTool, NativeTool, ToolError,
    http::{CallLimits, HttpTool, TenantClient},
    sql::SqlTool,
};
use crate::{
    config::{CachePer, CachePolicy, Config, HttpMethod, ToolConfig, is_tool_name, names_tenant},
    cx::{Cx, Reply},
    guards::{
        cache::{Fresh, shared::Wanted},
        credentials::{ReplyName, SecretName},
        data::{DataError, Sources},
    },
    upstream::{Upstream, UpstreamError, UpstreamSet, UpstreamTool},
};

/// A tool cannot be offered.
#[derive(Debug, thiserror::Error)]
#[error("{place}tool `{tool}`: {problem}")]
pub struct ToolSetError {
    /// File and line, with what comes between them and the rest.
    place: String,
    tool: String,
    problem: String,
}

impl ToolSetError {
    fn new(tool: &str, problem: impl ToString) -> Self {
        Self { place: String::new(), tool: tool.to_owned(), problem: problem.to_string() }
    }

    /// A statement that cannot be compiled.
    fn of_sql(tool: &str, error: &DataError) -> Self {
        let told = error.to_string();
        let advice = match &told {
            text if text.starts_with("no such table") => {
                "; the tables are those that the `migrations` of the source make: add one, or correct the name"
            }
            text if text.contains("SQLSTATE 42P01") => {
                "; make the table in the database, or correct its name or the source's `schema`"
            }
            _ => "",
        };
        Self::new(tool, format!("`sql`: {told}{advice}"))
    }

    /// A server that cannot be served.
    pub(crate) fn of_upstream(upstream: &str, problem: &str) -> Self {
        Self::new(upstream, format!("of `[[upstream]]`: {problem}"))
    }

    fn at(self, place: Option<&String>) -> Self {
        Self { place: place.map_or_else(String::new, |place| format!("{place}: ")), ..self }
    }
}

/// An argument that the client mirrors in an `Mcp-Param-NAME` header (SEP-2243).
#[derive(Debug)]
pub(crate) struct Mirror {
    /// `mcp-param-NAME`, in lower case.
    pub(crate) header: String,
    /// The property names from the root of the arguments.
    pub(crate) path: Vec<String>,
}

/// One tool.
pub(crate) struct ToolEntry {
    pub(crate) name: Arc<str>,
    pub(crate) definition_json: String,
    pub(crate) scope: Option<String>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) timeout: Option<Duration>,
    /// Whether a call may change something; so does every tool that does not say that it only reads.
    pub(crate) writes: bool,
    tenants: Option<BTreeSet<String>>,
    cache: Option<CachePolicy>,
    revision: u64,
    /// A digest of how the tool is declared, with the database or the settings of HTTP that it uses.
    declaration: [u8; 32],
    kind: Kind,
}

enum Kind {
    Sql(SqlTool, ArgTable),
    Http(Box<HttpTool>, ArgTable),
    Native(Arc<dyn ErasedTool>, Option<BTreeSet<String>>),
    Upstream(Box<UpstreamTool>, Option<BTreeSet<String>>),
}

impl ToolEntry {
    fn compile(
        tool: &ToolConfig,
        config: &Config,
        sources: &Sources,
        revision: u64,
    ) -> Result<Self, ToolSetError> {
        if tool.native.is_some() {
            let native = super::builtin::find(tool).ok_or_else(|| {
                ToolSetError::new(&tool.name, "there is no such native tool; built in is: whoami")
            })?;
            return Ok(Self { timeout: tool.timeout, ..Self::native(native, revision)? });
        }
        let table = ArgTable::new(&tool.args);
        let kind = if tool.http.is_some() {
            let compiled = HttpTool::compile(tool, &config.http)
                .map_err(|error| ToolSetError::new(&tool.name, error))?;
            Kind::Http(Box::new(compiled), table)
        } else {
            let compiled =
                SqlTool::compile(tool, sources).map_err(|error| ToolSetError::of_sql(&tool.name, &error))?;
            Kind::Sql(compiled, table)
        };
        let declaration = declaration(tool, config, sources);
        Ok(Self { declaration, ..Self::declared(tool, kind, revision)? })
    }

    fn declared(tool: &ToolConfig, kind: Kind, revision: u64) -> Result<Self, ToolSetError> {
        let table = ArgTable::new(&tool.args);
        let reads = !tool.writes && tool.http.as_ref().is_none_or(|http| http.method == HttpMethod::Get);
        let annotations = ToolAnnotations::new().read_only(reads);
        let mut definition = Definition::new(tool.name.clone(), tool.description.clone(), table.schema())
            .with_annotations(annotations);
        definition.title.clone_from(&tool.title);
        let entry = Self::new(definition, tool.scope.clone(), kind)?;
        let tenants = tool.tenants.as_ref().map(|tenants| tenants.iter().cloned().collect());
        Ok(Self {
            timeout: tool.timeout,
            writes: !reads,
            cache: tool.cache.clone(),
            tenants,
            revision,
            ..entry
        })
    }

    fn native(native: NativeTool, revision: u64) -> Result<Self, ToolSetError> {
        let NativeTool { meta, schema, tenants, tool } = native;
        if !is_tool_name(&meta.name) {
            return Err(ToolSetError::new(
                &meta.name,
                "a tool's name has 1 to 64 of the characters A-Z a-z 0-9 _ -",
            ));
        }
        refuse_tenant_names(&meta.name, &schema)?;
        let known =
            super::schema::arguments(&schema).map_err(|problem| ToolSetError::new(&meta.name, problem))?;
        let mut definition = Definition::new(meta.name, meta.description, schema);
        definition.title = meta.title;
        let reads = meta.annotations.as_ref().is_some_and(|told| told.read_only_hint == Some(true));
        definition.annotations = meta.annotations;
        Ok(Self {
            writes: !reads,
            revision,
            tenants,
            ..Self::new(definition, meta.scope, Kind::Native(tool, known))?
        })
    }

    /// A tool of an existing MCP server; why it is not offered.
    pub(crate) fn upstream(definition: Definition, tool: UpstreamTool) -> Result<Self, String> {
        let known = super::schema::arguments(&definition.input_schema)?;
        let reads = definition.annotations.as_ref().is_some_and(|told| told.read_only_hint == Some(true));
        let (scope, timeout, tool) = (tool.scope(), tool.timeout(), tool.that_writes(!reads));
        let entry = Self::new(definition, scope, Kind::Upstream(Box::new(tool), known));
        Ok(Self { writes: !reads, timeout, ..entry.map_err(|error| error.problem)? })
    }

    /// What stands for the tools of a server that does not answer.
    pub(crate) fn absent(name: &str, upstream: &Arc<Upstream>, why: Arc<UpstreamError>) -> Self {
        let tool = UpstreamTool::absent(upstream, why);
        Self {
            name: name.into(),
            definition_json: String::new(),
            scope: tool.scope(),
            mirrors: Vec::new(),
            timeout: tool.timeout(),
            writes: false,
            tenants: None,
            cache: None,
            revision: 0,
            declaration: [0; 32],
            kind: Kind::Upstream(Box::new(tool), None),
        }
    }

    fn new(definition: Definition, scope: Option<String>, kind: Kind) -> Result<Self, ToolSetError> {
        let name: Arc<str> = definition.name.as_ref().into();
        let mirrors =
            mirrors(&definition.input_schema).map_err(|problem| ToolSetError::new(&name, problem))?;
        let definition_json =
            serde_json::to_string(&definition).map_err(|error| ToolSetError::new(&name, error))?;
        Ok(Self {
            name,
            definition_json,
            scope,
            mirrors,
            timeout: None,
            writes: true,
            tenants: None,
            cache: None,
            revision: 0,
            declaration: [0; 32],
            kind,
        })
    }

    fn visible_to(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant.as_str()))
    }

    /// How much longer than its time a tool gets that ends by itself when its time is over, and then says what the
    /// caller may know: what became of a change, or that there is no such thing.
    pub(crate) fn grace(&self) -> Duration {
        match &self.kind {
            Kind::Sql(..) => Duration::from_secs(10),
            Kind::Http(tool, _) if tool.has_owner() => Duration::from_millis(100),
            Kind::Upstream(..) => Duration::from_millis(100),
            _ => Duration::ZERO,
        }
    }

    /// Whether the tool may answer with questions.
    pub(crate) fn may_ask(&self) -> bool {
        matches!(self.kind, Kind::Native(..))
    }

    /// Answers one call, from the tenant's cache if the tool says so.
    pub(crate) async fn call<'t>(
        &'t self,
        cx: Cx<'t>,
        args: Map<String, Value>,
    ) -> Result<Reply<'t>, ToolError> {
        match &self.kind {
            Kind::Native(tool, known) => {
                refuse_unknown(known.as_ref(), &args)?;
                // An open schema takes any name; those of tenants are refused all the same.
                if let Some(name) = args.keys().find(|name| names_tenant(name)) {
                    let known = known.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ");
                    return Err(ToolError::no_argument(name, &known));
                }
                tool.call(cx, args).await
            }
            Kind::Upstream(tool, known) => tool.call(cx, known.as_ref(), args).await,
            Kind::Sql(tool, table) => {
                let args = table.check(args)?;
                self.cached(cx, args, async |args| tool.call(cx, args, cx.time_left()).await).await
            }
            Kind::Http(tool, table) => {
                let args = table.check(args)?;
                self.cached(cx, args, async |args| call_http(tool, cx, &args).await).await
            }
        }
    }

    async fn cached<'t>(
        &self,
        cx: Cx<'t>,
        args: Map<String, Value>,
        call: impl AsyncFnOnce(Map<String, Value>) -> Result<Reply<'t>, ToolError>,
    ) -> Result<Reply<'t>, ToolError> {
        let Some(policy) = &self.cache else {
            return call(args).await;
        };
        let subject = match policy.per {
            CachePer::Tenant => String::new(),
            CachePer::Subject => {
                let principal = cx.permit().principal();
                // Issuer and subject as JSON, so that no two pairs are one text.
                serde_json::json!([principal.issuer, principal.subject]).to_string()
            }
        };
        // The arguments were checked: every name, in order, so their text is canonical.
        let canonical =
            serde_json::to_string(&args).map_err(|error| ToolError::internal(error.to_string()))?;
        let key = format!("tool\u{0}{}\u{0}{:x}\u{0}{subject}\u{0}{canonical}", self.name, self.revision);
        let most = policy.max_bytes.map_or(usize::MAX, |size| size.as_usize());
        let permit = cx.permit();
        let cache = permit.resident().cache();
        let wanted = policy.shared.then(|| Wanted {
            name: ReplyName {
                tenant: permit.tenant(),
                life: permit.incarnation(),
                tool: &self.name,
                declaration: &self.declaration,
                caller: &subject,
                arguments: &canonical,
            },
            asking: cache.asking(),
            ttl: policy.ttl,
            most,
            tenant_bytes: cache.bytes(),
        });
        let shared = permit.services().replies.as_deref().zip(wanted.as_ref());
        // A call whose time is nearly over has none to wait for others.
        let shared = || shared.filter(|(shared, _)| cx.time_left() > shared.patience());
        let mut made = false;
        let text = cache
            .get_or_make::<ToolError>(&key, most, async {
                if let Some((shared, wanted)) = shared()
                    && let Some((text, ttl)) = shared.find(wanted).await
                {
                    return Ok(Fresh { text, ttl });
                }
                let reply = call(args).await?.into_json();
                let text = reply.ok_or_else(|| ToolError::internal("only JSON replies are cached"))?;
                made = true;
                Ok(Fresh { text, ttl: policy.ttl })
            })
            .await?;
        // Those who waited for the reply have it by now.
        if made && let Some((shared, wanted)) = shared() {
            shared.keep(wanted, &text).await;
        }
        Ok(Reply::from_json(cx, text))
    }
}

/// Whatever a reply may depend on that stands in the configuration; not the order or the spelling in the file.
fn declaration(tool: &ToolConfig, config: &Config, sources: &Sources) -> [u8; 32] {
    let source = tool.source.as_ref().and_then(|name| config.data.get(name));
    // What the configuration refers to may be another database in another process.
    let at = tool.source.as_ref().and_then(|name| sources.address(name));
    let text = format!("{}\n{tool:?}\n{source:?}\n{at:?}\n{:?}", crate::VERSION, config.http);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

async fn call_http<'t>(
    tool: &HttpTool,
    cx: Cx<'t>,
    args: &Map<String, Value>,
) -> Result<Reply<'t>, ToolError> {
    let permit = cx.permit();
    let services = permit.services();
    let mut secrets = Vec::new();
    for name in tool.secrets() {
        let parsed = SecretName::parse(name).map_err(|error| ToolError::internal(error.to_string()))?;
        secrets.push((name.as_str(), services.read_secret(permit, &parsed).await?));
    }
    let secrets: Vec<(&str, &SecretString)> = secrets.iter().map(|(name, value)| (*name, value)).collect();
    let client = permit.resident().client(services.limits.revision(), || TenantClient::new(&services.http));
    let limits = CallLimits { time: cx.time_left(), reply_bytes: cx.room() };
    let reply = tool.call(permit, &client, args, &secrets, limits).await?;
    Ok(Reply::from_json(cx, reply.body.into()))
}

fn refuse_unknown(known: Option<&BTreeSet<String>>, args: &Map<String, Value>) -> Result<(), ToolError> {
    let Some(known) = known else { return Ok(()) };
    match args.keys().find(|name| !known.contains(*name)) {
        None => Ok(()),
        Some(unknown) => {
            let known = known.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(ToolError::no_argument(unknown, &known))
        }
    }
}

/// Refuses a schema in which any property, at any depth, names a tenant.
fn refuse_tenant_names(tool: &str, schema: &Map<String, Value>) -> Result<(), ToolSetError> {
    let mut open: Vec<&Value> = schema.values().collect();
    let properties = |map: &Map<String, Value>| {
        map.get("properties").and_then(Value::as_object).map(|p| p.keys().cloned().collect::<Vec<_>>())
    };
    let mut names = properties(schema).unwrap_or_default();
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                names.extend(properties(map).unwrap_or_default());
                open.extend(map.values());
            }
            Value::Array(list) => open.extend(list),
            _ => {}
        }
    }
    match names.into_iter().find(|name| names_tenant(name)) {
        None => Ok(()),
        Some(name) => Err(ToolSetError::new(
            tool,
            format!(
                "the argument `{name}` names a tenant; the tenant comes from the caller's token, read it from the context (`cx.tenant()`) and remove the argument"
            ),
        )),
    }
}

/// The mirrored arguments of a schema: only along chains of `properties` (SEP-2243).
fn mirrors(schema: &Map<String, Value>) -> Result<Vec<Mirror>, String> {
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), schema)];
    while let Some((path, schema)) = open.pop() {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            continue;
        };
        for (name, property) in properties {
            let Some(property) = property.as_object() else {
                continue;
            };
            let mut path = path.clone();
            path.push(name.clone());
            if let Some(header) = property.get("x-mcp-header") {
                found.push(mirror(header, property, &path)?);
            }
            open.push((path, property));
        }
    }
    found.sort_by(|a, b| a.header.cmp(&b.header));
    match found.windows(2).find(|pair| matches!(pair, [a, b] if a.header == b.header)) {
        Some(_) => Err("two arguments are mirrored in one header".to_owned()),
        None => Ok(found),
    }
}

fn mirror(header: &Value, property: &Map<String, Value>, path: &[String]) -> Result<Mirror, String> {
    let name = header.as_str().unwrap_or_default();
    if names_tenant(name) {
        return Err(format!(
            "x-mcp-header {header} names a tenant; the tenant comes from the caller's token"
        ));
    }
    let lower = format!("mcp-param-{}", name.to_ascii_lowercase());
    if name.is_empty() || http::HeaderName::from_bytes(lower.as_bytes()).is_err() {
        return Err(format!("x-mcp-header {header} of `{}` is no header name", path.join(".")));
    }
    let kind = property.get("type").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "string" | "integer" | "boolean") {
        return Err(format!(
            "`{}` has x-mcp-header, so its type must be string, integer or boolean",
            path.join(".")
        ));
    }
    Ok(Mirror { header: lower, path: path.to_vec() })
}

/// All tools of a server.
pub(crate) struct ToolSet {
    tools: Vec<Arc<ToolEntry>>,
    by_name: HashMap<Arc<str>, Arc<ToolEntry>>,
}

impl ToolSet {
    /// Compiles the declared tools and adds the native ones.
    pub(crate) fn new(
        config: &Config,
        sources: &Sources,
        native: &[NativeTool],
        upstreams: &UpstreamSet,
        revision: u64,
    ) -> Result<Self, ToolSetError> {
        let mut tools = Vec::new();
        for (at, tool) in config.tools.iter().enumerate() {
            let entry = ToolEntry::compile(tool.get_ref(), config, sources, revision);
            tools.push(Arc::new(entry.map_err(|error| error.at(config.tool_places.get(at)))?));
        }
        for tool in native {
            tools.push(Arc::new(ToolEntry::native(tool.clone(), revision)?));
        }
        let mut by_name = HashMap::new();
        for tool in &tools {
            if let Some(upstream) = upstreams.claims(&tool.name) {
                let problem =
                    format!("the upstream `{}` may have a tool of this name; rename one", upstream.name);
                return Err(ToolSetError::new(&tool.name, problem));
            }
            if by_name.insert(Arc::clone(&tool.name), Arc::clone(tool)).is_some() {
                return Err(ToolSetError::new(&tool.name, "there are two tools of this name; rename one"));
            }
        }
        Ok(Self { tools, by_name })
    }

    /// The tool of a name, if the tenant has it; a hidden tool and one that does not exist are the same.
    pub(crate) fn find(&self, name: &str, tenant: &TenantId) -> Option<&Arc<ToolEntry>> {
        self.by_name.get(name).filter(|tool| tool.visible_to(tenant))
    }

    /// The tools a tenant has, in the order of the configuration.
    pub(crate) fn visible<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = &'a Arc<ToolEntry>> {
        self.tools.iter().filter(|tool| tool.visible_to(tenant))
    }

    /// The scopes that some tool needs, sorted; not those of tools that only some tenants have, since strangers are
    /// told these.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let scopes: BTreeSet<&String> = self
            .tools
            .iter()
            .filter(|tool| tool.tenants.is_none())
            .filter_map(|tool| tool.scope.as_ref())
            .collect();
        scopes.into_iter().cloned().collect()
    }
}
