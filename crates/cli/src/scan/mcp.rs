//! `partywall scan --mcp`: the scanner as an MCP server on standard input, for a coding agent.
//!
//! Its tools read and never write, and nothing outside of the one folder that was named: a path that leads out of it, by
//! `..` or by a link, is refused before anything is read.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
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
use tokio::sync::Semaphore;

/// The most findings in one reply: a model's context is small.
const MOST: usize = 50;

/// Serves until the client closes standard input.
pub(super) fn run(paths: &[PathBuf], options: Options) -> anyhow::Result<()> {
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
    let served: anyhow::Result<()> = runtime.block_on(async {
        let running = Scanner { root, options, turn: Arc::new(Semaphore::new(1)) }
            .serve(rmcp::transport::stdio())
            .await
            .context("the client on standard input did not start an MCP session")?;
        running.waiting().await?;
        Ok(())
    });
    // A scan that is at work is for nobody any more.
    runtime.shutdown_background();
    served
}

#[derive(Clone)]
struct Scanner {
    root: PathBuf,
    /// What the command line asks of every scan.
    options: Options,
    /// One scan at a time: each takes all processors.
    turn: Arc<Semaphore>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScanCall {
    path: Option<String>,
    rule: Option<String>,
    #[serde(default)]
    offset: usize,
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
    json!({ "resultType": "complete", "tools": [
        {
            "name": "scan",
            "description": "Finds places in the source where tenants of an MCP server can meet. Gives a JSON document of findings, with paths below the root.",
            "inputSchema": { "type": "object", "additionalProperties": false, "properties": {
                "path": { "type": "string", "description": "A folder or file below the root; the root when left out." },
                "rule": { "type": "string", "description": "Only this rule." },
                "offset": { "type": "integer", "minimum": 0, "description": "How many findings to leave out at the beginning; the worst come first, 50 at a time." },
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
        let below =
            target.strip_prefix(&self.root).unwrap_or(Path::new("")).to_string_lossy().replace('\\', "/");
        let options = Options {
            selection: Selection { targets: vec![target.clone()], ..self.options.selection.clone() },
            target: path,
            rules: call.rule.into_iter().collect(),
            ..self.options.clone()
        };
        let scan = partywall_scanner::scan(&options, &()).map_err(|error| error.to_string())?;
        let is_folder = target.is_dir() && !below.is_empty();
        let mut document = partywall_report::with_paths(scan.document, &|path| {
            // A file that was named has the path that it was named by, which is a whole one here.
            if Path::new(path.as_str()) == target {
                path.clone_from(&below);
            } else if is_folder {
                path.insert_str(0, &format!("{below}/"));
            }
        });
        document.findings = document.findings.into_iter().skip(call.offset).collect();
        if document.findings.len() > MOST {
            document.notes.push(format!(
                "{} less severe findings are left out here; `offset` {} gives the next",
                document.findings.len() - MOST,
                call.offset.saturating_add(MOST)
            ));
            document.findings.truncate(MOST);
        }
        if document.skipped.len() > MOST {
            document
                .notes
                .push(format!("{} more were skipped than are listed here", document.skipped.len() - MOST));
            document.skipped.truncate(MOST);
        }
        serde_json::to_string(&document).map_err(|error| error.to_string())
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
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let given = Value::Object(request.arguments.unwrap_or_default());
        let failed = |text: String| ErrorData::internal_error(text, None);
        let scanner = self.clone();
        // Others are answered meanwhile, such as a client that asks whether we are still there.
        let work = async {
            let turn =
                Arc::clone(&self.turn).acquire_owned().await.map_err(|error| failed(error.to_string()))?;
            tokio::task::spawn_blocking(move || {
                let told = scanner.call(&request.name, given);
                drop(turn);
                told
            })
            .await
            .map_err(|error| failed(error.to_string()))
        };
        let told = tokio::select! {
            told = work => told?,
            () = context.ct.cancelled() => return Err(failed("the call was cancelled".to_owned())),
        };
        let Some(told) = told else {
            return Err(ErrorData::invalid_params("there is no such tool", None));
        };
        let (text, is_error) = match told {
            Ok(text) => (text, false),
            Err(text) => (text, true),
        };
        let result = json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }], "isError": is_error });
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
        assert!(list.result_type.is_some(), "revision 2026-07-28 asks for it");
        for tool in list.tools {
            assert_eq!(tool.annotations.unwrap().read_only_hint, Some(true));
        }
    }

    fn scanner(root: &Path) -> Scanner {
        let root = root.canonicalize().unwrap();
        Scanner { root, options: Options::default(), turn: Arc::new(Semaphore::new(1)) }
    }

    #[test]
    fn paths_are_those_that_the_tools_take() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("db/old")).unwrap();
        let leak = "CREATE TABLE notes (id int, tenant_id uuid);\nCREATE POLICY p ON notes USING (tenant_id = current_setting('app.t')::uuid);\n";
        fs::write(folder.path().join("db/old/1.sql"), leak).unwrap();
        let scanner = scanner(folder.path());
        for path in [".", "db", "db/old", "db/old/1.sql", "db/../db"] {
            let told = scanner.call("scan", json!({ "path": path })).unwrap().unwrap();
            let document: Value = serde_json::from_str(&told).unwrap();
            assert_eq!(document["findings"][0]["path"], "db/old/1.sql", "{path}");
            assert!(!told.contains(&*folder.path().to_string_lossy()), "{told}");
        }
        let none = scanner.call("scan", json!({ "offset": 1 })).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&none).unwrap()["findings"], json!([]));
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
        let scanner = scanner(&root);
        let absolute = outside.path().join("secret.sql");
        for path in
            ["..", "../secret.sql", "link", "link/secret.sql", "/etc", absolute.to_str().unwrap(), "gone"]
        {
            let told = scanner.call("scan", json!({ "path": path })).unwrap();
            assert!(told.as_ref().unwrap_err().contains("below the root"), "{path}: {told:?}");
        }
        for given in [json!({}), json!({ "path": "a.sql" })] {
            let told = scanner.call("scan", given).unwrap().unwrap();
            assert!(told.contains("\"files\":1"), "{told}");
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
