//! `partywall scan --mcp`: the scanner as an MCP server on standard input, for a coding agent.
//!
//! Its tools read and never write, and nothing outside of the one folder that was named: a path that leads out of it, by
//! `..` or by a link, is refused before anything is read.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use partywall_report::{Format, Report, Style};
use partywall_scanner::{Options, files::Selection};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt as _,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most findings in one reply: a model's context is small.
const MOST: usize = 50;

/// Serves until the client closes standard input.
pub(super) fn run(paths: &[PathBuf]) -> anyhow::Result<()> {
    let root = match paths {
        [] => Path::new("."),
        [root] => root,
        _ => anyhow::bail!("--mcp takes one folder, the only one that its tools may read"),
    };
    let root = root.canonicalize().with_context(|| format!("cannot open the folder {}", root.display()))?;
    anyhow::ensure!(
        root.is_dir(),
        "{} is no folder; --mcp takes the folder that its tools may read",
        root.display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = Scanner { root }
            .serve(rmcp::transport::stdio())
            .await
            .context("the client on standard input did not start an MCP session")?;
        running.waiting().await?;
        Ok(())
    })
}

struct Scanner {
    root: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScanCall {
    path: Option<String>,
    rule: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainCall {
    rule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesCall {}

fn tools() -> Value {
    let read_only = json!({ "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false });
    json!({ "tools": [
        {
            "name": "scan",
            "description": "Finds places in the source where tenants of an MCP server can meet. Gives a JSON document of findings.",
            "inputSchema": { "type": "object", "additionalProperties": false, "properties": {
                "path": { "type": "string", "description": "A folder or file below the root; the root when left out." },
                "rule": { "type": "string", "description": "Only this rule." },
            }},
            "annotations": read_only,
        },
        {
            "name": "explain",
            "description": "The page of a rule: what it finds, why it matters, examples of what is bad and of what is good.",
            "inputSchema": { "type": "object", "additionalProperties": false, "required": ["rule"], "properties": {
                "rule": { "type": "string", "description": "The rule's id, as it stands in findings." },
            }},
            "annotations": read_only,
        },
        {
            "name": "rules",
            "description": "Lists the rules with their layers and severities.",
            "inputSchema": { "type": "object", "additionalProperties": false, "properties": {} },
            "annotations": read_only,
        },
    ]})
}

/// What a tool says, or what is wrong with the call.
type Told = Result<String, String>;

fn arguments<T: serde::de::DeserializeOwned>(arguments: Value) -> Result<T, String> {
    serde_json::from_value(arguments).map_err(|error| format!("the arguments are not right: {error}"))
}

impl Scanner {
    fn call(&self, tool: &str, given: Value) -> Option<Told> {
        Some(match tool {
            "scan" => arguments(given).and_then(|call: ScanCall| self.scan(call)),
            "explain" => arguments(given).and_then(|call: ExplainCall| explain(&call.rule)),
            "rules" => arguments(given).and_then(|_: RulesCall| {
                serde_json::to_string(&partywall_scanner::pages()).map_err(|error| error.to_string())
            }),
            _ => return None,
        })
    }

    /// A path below the root. What is outside and what is not there get one answer.
    fn inside(&self, path: &str) -> Result<PathBuf, String> {
        let full = self.root.join(path).canonicalize().ok().filter(|full| full.starts_with(&self.root));
        full.ok_or_else(|| format!("there is no {path:?} below the root; paths are relative to it"))
    }

    fn scan(&self, call: ScanCall) -> Told {
        let path = call.path.unwrap_or_else(|| ".".to_owned());
        let target = self.inside(&path)?;
        let options = Options {
            selection: Selection { targets: vec![target], include_tests: false },
            target: path,
            rules: call.rule.into_iter().collect(),
            ..Options::default()
        };
        let mut scan = partywall_scanner::scan(&options, &()).map_err(|error| error.to_string())?;
        let document = &mut scan.document;
        if document.findings.len() > MOST {
            document
                .notes
                .push(format!("{} less severe findings are left out here", document.findings.len() - MOST));
            document.findings.truncate(MOST);
        }
        document.skipped.truncate(MOST);
        let report = Report { document, pages: &[], sources: &(), style: Style::default(), below: "" };
        report.render(Format::Json).map_err(|error| error.to_string())
    }
}

fn explain(rule: &str) -> Told {
    let pages = partywall_scanner::pages();
    let page = pages.iter().find(|page| page.check.id == rule);
    page.map(partywall_model::Page::brief)
        .ok_or_else(|| format!("there is no rule {rule:?}; the tool `rules` lists them"))
}

impl ServerHandler for Scanner {
    fn get_info(&self) -> ServerConfig {
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        config.server_info = Implementation::new("partywall-scan", env!("CARGO_PKG_VERSION"));
        config
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        serde_json::from_value(tools()).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = Value::Object(request.arguments.unwrap_or_default());
        let Some(told) = self.call(&request.name, given) else {
            return Err(ErrorData::invalid_params("there is no such tool", None));
        };
        let (text, is_error) = match told {
            Ok(text) => (text, false),
            Err(text) => (text, true),
        };
        let result = json!({ "content": [{ "type": "text", "text": text }], "isError": is_error });
        let result: CallToolResult = serde_json::from_value(result)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        Ok(result.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_tools_can_be_listed_and_only_read() {
        let list: ListToolsResult = serde_json::from_value(tools()).unwrap();
        assert_eq!(list.tools.len(), 3);
        for tool in list.tools {
            assert_eq!(tool.annotations.unwrap().read_only_hint, Some(true));
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_outside_of_the_root_is_read() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.sql"), "SELECT 1;").unwrap();
        let root = outside.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.sql"), "SELECT 1;").unwrap();
        std::os::unix::fs::symlink(outside.path(), root.join("link")).unwrap();
        let scanner = Scanner { root: root.canonicalize().unwrap() };
        let absolute = outside.path().join("secret.sql");
        for path in
            ["..", "../secret.sql", "link", "link/secret.sql", "/etc", absolute.to_str().unwrap(), "gone"]
        {
            let told = scanner.call("scan", json!({ "path": path })).unwrap();
            assert!(told.as_ref().unwrap_err().contains("below the root"), "{path}: {told:?}");
        }
        for given in [json!({}), json!({ "path": "a.sql" })] {
            let told = scanner.call("scan", given).unwrap().unwrap();
            assert!(told.contains("\"files\": 1"), "{told}");
        }
        assert!(scanner.call("scan", json!({ "root": "/" })).unwrap().is_err());
        assert!(
            scanner
                .call("explain", json!({ "rule": "rls-not-enabled" }))
                .unwrap()
                .unwrap()
                .starts_with("# rls")
        );
        assert!(scanner.call("write", json!({})).is_none());
    }
}
