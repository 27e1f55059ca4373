//! Whole runs over small trees.

use std::fs;

use partywall_model::Severity;

use super::*;

const LEAK: &str = "CREATE TABLE notes (id int, tenant_id uuid);\nCREATE POLICY p ON notes USING (tenant_id = current_setting('app.t')::uuid);\n";

fn run(files: &[(&str, &str)], change: impl FnOnce(&mut Options)) -> Result<Scan, ScanError> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut options = Options::default();
    options.selection.targets = vec![folder.path().to_owned()];
    change(&mut options);
    scan(&options, &())
}

fn rules(scan: &Scan) -> Vec<&str> {
    scan.document.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

#[test]
fn a_tree_becomes_a_document() {
    let scan = run(&[("db/1.sql", LEAK), ("package.json", "{"), ("src/a.test.ts", "")], |_| {}).unwrap();
    assert_eq!(rules(&scan), ["rls-policies-inert"]);
    let finding = &scan.document.findings[0];
    assert_eq!((finding.path.as_str(), finding.line, finding.fingerprint.len()), ("db/1.sql", 2, 32));
    assert_eq!(scan.document.grade, "C");
    assert_eq!(scan.not_understood, 1);
    assert_eq!(scan.document.skipped.len(), 2);
    assert_eq!(scan.texts.keys().collect::<Vec<_>>(), ["db/1.sql"]);
    assert_eq!(scan.document.axes["documentation"].score, None);
}

#[test]
fn only_what_is_asked_for_is_told() {
    let none = run(&[("1.sql", LEAK)], |options| options.layers = vec![Layer::Cache]).unwrap();
    assert!(none.document.findings.is_empty());
    assert_eq!((none.document.grade.as_str(), none.document.is_of_nothing()), ("not assessed", false));
    assert_eq!(none.document.axes["security"].score, Some(100));
    assert_eq!(none.document.layers["cache"].status, "clean");
    let other = run(&[("1.sql", LEAK)], |options| options.rules = vec!["vulnerable-sdk".to_owned()]).unwrap();
    assert!(other.document.findings.is_empty());
    assert_eq!(other.document.axes["credentials"].score, None);
    assert_eq!(other.document.layers["routing"].status, "partly looked at");
    let single = run(&[("1.sql", LEAK)], |options| options.tenancy = Tenancy::Single).unwrap();
    assert_eq!(single.document.findings[0].severity, Severity::Low);
    let unknown = run(&[], |options| options.rules = vec!["nothing".to_owned()]).unwrap_err().to_string();
    assert!(unknown.contains("partywall rules"), "{unknown}");
}

#[test]
fn a_comment_with_a_reason_allows_a_finding_and_is_counted() {
    let text = LEAK.replace(
        "CREATE POLICY",
        "-- partywall: allow rls-policies-inert -- enabled by the operator\nCREATE POLICY",
    );
    let scan = run(&[("1.sql", &text)], |_| {}).unwrap();
    assert!(scan.document.findings.is_empty(), "{:?}", scan.document.findings);
    assert!(scan.document.notes.iter().any(|note| note.contains("allowed by comments")));
    let allowed = &scan.document.allowed[0];
    assert_eq!((allowed.finding.line, allowed.reason.as_str()), (3, "enabled by the operator"));
    assert_eq!(allowed.finding.fingerprint.len(), 32);
    let unused =
        run(&[("1.sql", "-- partywall: allow rls-policies-inert -- x\nSELECT 1;\n")], |_| {}).unwrap();
    assert_eq!(rules(&unused), ["unused-suppression"]);
}

#[test]
fn every_rule_has_a_page_of_its_own() {
    let mut ids: Vec<&str> = pages().iter().map(|page| page.check.id).collect();
    for page in pages() {
        assert!(page.markdown.starts_with(&format!("# {}\n", page.check.id)), "{}", page.check.id);
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "two rules have one id");
}

#[test]
fn a_rule_or_front_end_that_panics_is_told_and_costs_only_its_own_findings() {
    let mut skipped = Vec::new();
    let lost = judge("bad", "tree", &mut skipped, || panic!("a defect of a rule"));
    assert!(lost.is_empty());
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].path, "tree");
    assert!(skipped[0].reason.contains("the rule bad stopped"), "{}", skipped[0].reason);
    let kept = judge("good", "tree", &mut skipped, Vec::new);
    assert!(kept.is_empty() && skipped.len() == 1);
    assert_eq!(survive(|| 1), Some(1));
    assert_eq!(survive(|| -> u32 { panic!("a defect of a front end") }), None);
}

/// What the rule says of each path, with its severity.
fn severities(scan: &Scan, rule: &str) -> Vec<(String, Severity)> {
    let own = scan.document.findings.iter().filter(|finding| finding.rule == rule);
    own.map(|finding| (finding.path.clone(), finding.severity)).collect()
}

#[test]
fn a_program_for_a_desktop_beside_a_server_has_nothing_high() {
    let text = r#"
import express from "express";
const app = express();
app.get("/notes", requireUser, async (req, res) => res.json(await pool.query("select * from notes where user_id = $1", [req.user.id])));
app.get("/notes/:id", requireUser, async (req, res) => {
  console.log(req.user.id);
  res.json(await pool.query("select * from notes where id = $1", [req.params.id]));
});
"#;
    let files = [
        ("package.json", "{}"),
        ("apps/web/package.json", "{}"),
        ("apps/web/src/main.ts", text),
        ("apps/x/package.json", "{}"),
        ("apps/x/apps/main/package.json", r#"{"devDependencies":{"electron":"39"}}"#),
        ("apps/x/packages/core/package.json", "{}"),
        ("apps/x/packages/core/src/main.ts", text),
    ];
    let scan = run(&files, |_| {}).unwrap();
    assert_eq!(
        severities(&scan, "unscoped-query"),
        [
            ("apps/web/src/main.ts".to_owned(), Severity::High),
            ("apps/x/packages/core/src/main.ts".to_owned(), Severity::Medium)
        ]
    );
}

#[test]
fn where_nobody_asks_who_calls_a_tenant_that_is_named_is_medium() {
    let tools = r#"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
const server = new McpServer({ name: "notes", version: "1" });
server.registerTool("of", { inputSchema: { tenantId: z.string() } }, async ({ tenantId }) => pool.query("select * from notes where tenant_id = $1", [tenantId]));
"#;
    let knows = r#"
server.registerTool("mine", {}, async (args, { authInfo }) => pool.query("select * from notes where tenant_id = $1", [authInfo.extra.tenantId]));
"#;
    let severity = |text: &str, change: fn(&mut Options)| {
        let scan = run(&[("package.json", "{}"), ("src/main.ts", text)], change).unwrap();
        severities(&scan, "tenant-from-input").first().map(|(_, severity)| *severity)
    };
    assert_eq!(severity(tools, |_| {}), Some(Severity::Medium));
    assert_eq!(severity(&format!("{tools}{knows}"), |_| {}), Some(Severity::High));
    assert_eq!(severity(tools, |options| options.tenancy = Tenancy::Multi), Some(Severity::High));
}

/// A server of a library that no list names, and the settings of another server that it starts.
const NOTES_OVER_HTTP: &str = "from aiohttp import web\nimport asyncpg\n\nasync def note(request):\n    caller = request['user']\n    return await pool.fetchrow('SELECT body FROM notes WHERE id = $1', request.match_info['id'])\n\nasync def mine(request):\n    return await pool.fetch('SELECT body FROM notes WHERE tenant_id = $1', request['user'].tenant_id)\n\napp = web.Application()\napp.router.add_get('/notes/{id}', note)\napp.router.add_get('/notes', mine)\nweb.run_app(app)\n";

#[test]
fn how_another_server_is_started_does_not_make_a_server_one_users() {
    let tables = "CREATE TABLE notes (id uuid PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES tenants (id), body text);\n";
    let worst = |settings: &str| {
        let files = [
            ("requirements.txt", "aiohttp\n"),
            ("1.sql", tables),
            ("server.py", NOTES_OVER_HTTP),
            ("upstream.py", settings),
        ];
        severities(&run(&files, |_| {}).unwrap(), "unscoped-query")
            .into_iter()
            .map(|(_, severity)| severity)
            .max()
    };
    assert_eq!(worst(""), Some(Severity::High));
    assert_eq!(worst("UPSTREAM = {'transport': 'stdio', 'command': 'npx'}\n"), Some(Severity::High));
}

#[test]
fn a_table_of_tenants_says_that_a_server_over_http_has_several() {
    let server = "from fastmcp import FastMCP\nimport psycopg\nconn = psycopg.connect('')\nmcp = FastMCP('notes', auth=GitHubProvider(client_id='a', client_secret='b'))\n@mcp.tool\ndef get_note(note_id: str):\n    with conn.cursor() as cur:\n        cur.execute('SELECT id, title FROM notes WHERE id = %s', (note_id,))\n        return cur.fetchone()\n";
    let tables = |owner: &str| format!("CREATE TABLE notes (id uuid PRIMARY KEY, title text{owner});\n");
    let found = |owner: &str, runs: &str| {
        let files = [("server.py", format!("{server}{runs}")), ("1.sql", tables(owner))];
        let files: Vec<_> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        severities(&run(&files, |_| {}).unwrap(), "unscoped-query").first().map(|(_, severity)| *severity)
    };
    let owner = ", tenant_id uuid NOT NULL REFERENCES tenants (id)";
    assert_eq!(found(owner, "mcp.run(transport='http')\n"), Some(Severity::Medium));
    assert_eq!(found("", "mcp.run(transport='http')\n"), None);
}

#[test]
fn a_server_that_is_run_over_http_as_well_is_not_one_users() {
    let text = |runs: &str| {
        format!(
            "from fastmcp import FastMCP\nmcp = FastMCP('notes')\nlast = None\n@mcp.tool()\nasync def keep(text: str):\n    global last\n    last = text\n\
             @mcp.tool()\nasync def show():\n    return last\nif local:\n    mcp.run(transport='stdio')\nelse:\n    {runs}\n"
        )
    };
    let worst = |runs: &str| {
        let scan = run(&[("server.py", &text(runs))], |_| {}).unwrap();
        severities(&scan, "request-in-shared-variable").into_iter().map(|(_, severity)| severity).max()
    };
    assert_eq!(worst("mcp.run(transport='stdio', show_banner=False)"), Some(Severity::Low));
    assert!(
        worst("mcp.run(\n        transport='http',\n        host='0.0.0.0',\n    )") > Some(Severity::Low)
    );
    assert!(worst("mcp.run('sse')") > Some(Severity::Low));
}

#[test]
fn code_for_browsers_is_counted_and_says_nothing() {
    let cache = "const shown = new Map();\nexport function note(id, load) {\n  if (!shown.has(id)) shown.set(id, load(id));\n  return shown.get(id);\n}\n";
    let server = "import express from 'express';\nimport { note } from './notes';\nconst app = express();\napp.get('/notes/:id', requireUser, (req, res) => res.json(note(req.params.id, (id) => api.load(id, req.user.id))));\n";
    let found = |first: &str| {
        let notes = format!("{first}{cache}");
        run(&[("src/app.ts", server), ("src/notes.ts", &notes), ("package.json", "{}")], |_| {}).unwrap()
    };
    let note =
        |scan: &Scan| scan.document.notes.iter().any(|note| note.starts_with("1 file runs in browsers"));
    let (leaks, silent) = (found(""), found("'use client';\n"));
    assert_eq!(rules(&leaks), ["fetched-for-one"]);
    assert!(!note(&leaks), "{:?}", leaks.document.notes);
    assert!(
        rules(&silent).is_empty() && note(&silent),
        "{:?} {:?}",
        silent.document.findings,
        silent.document.notes
    );
}

#[test]
fn a_body_that_is_spread_over_the_owner_is_told_once() {
    let code = "from fastapi import Depends, FastAPI, Request\nfrom pymongo import MongoClient\nfrom security import current_user\n\napp = FastAPI()\nplants = MongoClient().garden.plants\n\n@app.get(\"/plants\")\ndef mine(user=Depends(current_user)):\n    return list(plants.find({\"user_id\": user.id}, {\"_id\": 0}))\n\n@app.post(\"/plants\")\nasync def add(request: Request, user=Depends(current_user)):\n    payload = await request.json()\n    return str(plants.insert_one({\"user_id\": user.id, **payload}).inserted_id)\n";
    let scan = run(&[("main.py", code)], |_| {}).unwrap();
    assert_eq!(rules(&scan), ["owner-from-body"]);
}

#[test]
fn what_only_says_how_a_program_is_built_is_no_program() {
    let files = [
        ("package.json", "{}"),
        ("Dockerfile", "FROM golang"),
        ("main.go", "package main"),
        ("tsconfig.json", "{}"),
    ];
    let scan = run(&files, |_| {}).unwrap();
    assert!(scan.document.is_of_nothing());
    assert_eq!((scan.document.stats.files, scan.document.stats.programs), (3, 0));
    assert!(scan.document.layers.values().all(|layer| layer.status == "not assessed"));
    let with = run(&[("package.json", "{}"), ("a.py", "a = 1")], |_| {}).unwrap();
    assert_eq!((with.document.grade.as_str(), with.document.stats.programs), ("A", 1));
}

#[test]
fn a_baseline_hides_nothing_that_has_become_worse() {
    let tools = |transport: &str| {
        format!(
            "import {{ McpServer }} from \"@modelcontextprotocol/sdk/server/mcp.js\";\n{transport}\nconst server = new McpServer({{ name: \"n\", version: \"1\" }});\n\
             server.registerTool(\"of\", {{ inputSchema: {{ tenantId: z.string() }} }}, async ({{ tenantId }}) => pool.query(\"select * from notes where tenant_id = $1\", [tenantId]));\n"
        )
    };
    let stdio = "import { StdioServerTransport } from \"@modelcontextprotocol/sdk/server/stdio.js\";";
    let http = "import { StreamableHTTPServerTransport } from \"@modelcontextprotocol/sdk/server/streamableHttp.js\";";
    let of = |transport: &str| {
        let text = tools(transport);
        run(&[("package.json", "{}"), ("src/main.ts", &text)], |_| {}).unwrap()
    };
    let (local, remote) = (of(stdio), of(http));
    let baseline = crate::baseline::Baseline::of(&local.document.findings);
    assert!(!local.document.findings.is_empty());
    let same = baseline.apply(local.document.findings, &local.earlier, &|_| true);
    assert_eq!((same.new.len(), same.gone), (0, 0));
    let worse = baseline.apply(remote.document.findings, &remote.earlier, &|_| true);
    assert!(!worse.new.is_empty() && !worse.notes.is_empty(), "{worse:?}");
}

const MINE: &str = "app.get(\"/mine\", requireUser, async (req, res) => {\n  res.json(await prisma.note.findMany({ where: { tenantId: req.user.tenantId } }));\n});\n";

/// The severities of what is found of ids that callers choose.
fn of_input(files: &[(&str, &str)]) -> Vec<Severity> {
    let scan = run(files, |options| options.rules = vec!["tenant-from-input".to_owned()]).unwrap();
    scan.document.findings.iter().map(|finding| finding.severity).collect()
}

#[test]
fn one_key_for_all_tells_nobody_apart() {
    let of = |guard: &str| {
        let app = format!(
            "import express from \"express\";\nconst KEY = process.env.MCP_API_KEY || \"\";\nconst app = express();\n\
             function requireKey(req, res, next) {{\n  if (req.headers.authorization !== `Bearer ${{KEY}}`) {{\n    res.status(401).end();\n    return;\n  }}\n  next();\n}}\n\
             app.get(\"/notes/:tenantId\", {guard}, async (req, res) => {{\n  res.json(await prisma.note.findMany({{ where: {{ tenantId: req.params.tenantId }} }}));\n}});\n{MINE}"
        );
        of_input(&[("package.json", "{}"), ("src/app.ts", &app)])
    };
    assert_eq!(of("requireKey"), [Severity::Medium]);
    assert_eq!(of("requireUser"), [Severity::High]);
}

#[test]
fn a_server_on_standard_input_has_one_user_whatever_stands_beside_it() {
    let tool = "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({ name: \"notes\", version: \"1\" });\n\
                server.registerTool(\"notes\", { inputSchema: { tenantId: z.string() } }, async ({ tenantId }) => {\n  return { content: await prisma.note.findMany({ where: { tenantId } }) };\n});\n";
    let app = format!("import express from \"express\";\nconst app = express();\n{MINE}");
    let stdio = format!(
        "import {{ StdioServerTransport }} from \"@modelcontextprotocol/sdk/server/stdio.js\";\n{tool}await server.connect(new StdioServerTransport());\n"
    );
    let http = format!("{tool}export {{ server }};\n");
    let of = |desk: &str| of_input(&[("package.json", "{}"), ("src/app.ts", &app), ("src/desk.ts", desk)]);
    assert_eq!(of(&stdio), [Severity::Medium]);
    assert_eq!(of(&http), [Severity::High]);
}
