//! What requests reach is known in every framework of JavaScript in which a handler is written, and however it is registered: data of
//! one in a variable of the module is found there, and the same in a variable of its own is not.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;

use partywall_scanner::{Options, Tenancy, scan};

/// A framework or a form: its name, what stands before a handler, the handler, and what stands after it.
const HANDLERS: &[(&str, &str, &str, &str)] = &[
    (
        "the SDK",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "async function h({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n}\n",
        "server.registerTool(\"h\", {}, h);\n",
    ),
    (
        "a list in a loop",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "const all = [{ id: \"h\", async call({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n} }];\n",
        "for (const one of all) server.registerTool(one.id, {}, one.call);\n",
    ),
    (
        "a list that is taken apart in a loop",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "const all = [{ id: \"h\", async call({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n} }];\n",
        "for (const { id, call } of all) server.registerTool(id, {}, call);\n",
    ),
    (
        "a list in a callback",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "const all = [{ id: \"h\", async call({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n} }];\n",
        "all.forEach((one) => server.registerTool(one.id, {}, one.call));\n",
    ),
    (
        "a table's entries",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "const all = { h: { async call({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n} } };\n",
        "Object.entries(all).forEach(([name, one]) => server.registerTool(name, {}, one.call));\n",
    ),
    (
        "a function that gives back what it is given",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\nconst define = (one) => one;\n",
        "const one = define({ id: \"h\", async call({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n} });\n",
        "for (const each of [one]) server.registerTool(each.id, {}, each.call);\n",
    ),
    (
        "a tuple",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "const one = [\"h\", {}, async ({ project }) => {\n  SET = project;\n  await work();\n  return out(GET);\n}];\n",
        "server.registerTool(...one);\n",
    ),
    (
        "a map that is filled",
        "import { CallToolRequestSchema } from \"@modelcontextprotocol/sdk/types.js\";\nconst handlers = new Map();\n",
        "async function h({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n}\n",
        "handlers.set(\"h\", h);\nserver.setRequestHandler(CallToolRequestSchema, (request) => handlers.get(request.params.name)(request.params.arguments));\n",
    ),
    (
        "methods by their names",
        "import { CallToolRequestSchema } from \"@modelcontextprotocol/sdk/types.js\";\nclass H {\n  constructor(server) {\n    server.setRequestHandler(CallToolRequestSchema, (request) => this[`tool_${request.params.name}`](request.params.arguments));\n  }\n",
        "  async tool_h({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n}\n",
        "}\n",
    ),
    (
        "Genkit",
        "import { genkit } from \"genkit\";\nconst ai = genkit({});\n",
        "ai.defineTool({ name: \"h\" }, async ({ project }, { context }) => {\n  SET = project;\n  await work();\n  return out(GET);\n});\n",
        "",
    ),
    (
        "Skybridge",
        "import { McpServer } from \"skybridge/server\";\nconst server = new McpServer({});\n",
        "server.registerWidget(\"h\", {}, {}, async ({ project }) => {\n  SET = project;\n  await work();\n  return out(GET);\n});\n",
        "",
    ),
    (
        "MCP Apps",
        "import { registerAppTool } from \"@modelcontextprotocol/ext-apps/server\";\n",
        "registerAppTool(server, \"h\", {}, async ({ project }) => {\n  SET = project;\n  await work();\n  return out(GET);\n});\n",
        "",
    ),
    (
        "tasks of the SDK",
        "import { McpServer } from \"@modelcontextprotocol/sdk/server/mcp.js\";\nconst server = new McpServer({});\n",
        "server.experimental.tasks.registerToolTask(\"h\", {}, { async createTask({ project }) {\n  SET = project;\n  await work();\n  return out(GET);\n} });\n",
        "",
    ),
    (
        "FrontMCP",
        "import { Tool, ToolContext } from \"@frontmcp/sdk\";\n",
        "class H extends ToolContext {\n  async execute(input) {\n  SET = input.project;\n  await work();\n  return out(GET);\n}\n}\n",
        "",
    ),
    (
        "LeanMCP",
        "import { Tool } from \"@leanmcp/core\";\n",
        "class H {\n  @Tool({ description: \"h\" })\n  async h(input) {\n  SET = input.project;\n  await work();\n  return out(GET);\n}\n}\n",
        "",
    ),
    (
        "LangChain",
        "import { tool } from \"@langchain/core/tools\";\n",
        "export const h = tool(async ({ project }, config) => {\n  SET = project;\n  await work();\n  return out(GET);\n}, { name: \"h\" });\n",
        "",
    ),
    (
        "the AI SDK",
        "import { tool } from \"ai\";\n",
        "export const h = tool({ inputSchema: {}, execute: async ({ project }) => {\n  SET = project;\n  await work();\n  return out(GET);\n} });\n",
        "",
    ),
    (
        "hapi",
        "import Hapi from \"@hapi/hapi\";\nconst server = Hapi.server({ port: 3000 });\n",
        "server.route({ method: \"POST\", path: \"/h\", handler: async (request) => {\n  SET = request.payload.project;\n  await work();\n  return out(GET);\n} });\n",
        "",
    ),
    (
        "Bun's routes",
        "",
        "Bun.serve({ routes: { \"/h\": { async POST(request) {\n  SET = request.headers.get(\"authorization\");\n  await work();\n  return out(GET);\n} } } });\n",
        "",
    ),
    (
        "resolvers of GraphQL",
        "import { createSchema, createYoga } from \"graphql-yoga\";\n",
        "const schema = createSchema({ typeDefs: \"\", resolvers: { Query: { h: async (_parent, { project }) => {\n  SET = project;\n  await work();\n  return out(GET);\n} } } });\n",
        "createYoga({ schema });\n",
    ),
    (
        "Socket.IO",
        "import { Server } from \"socket.io\";\nconst io = new Server(3000);\n",
        "io.on(\"connection\", (socket) => {\n  socket.on(\"h\", async ({ project }, reply) => {\n  SET = project;\n  await work();\n  return reply(out(GET));\n});\n});\n",
        "",
    ),
    (
        "xmcp without parameters",
        "import type { ToolExtraArguments, ToolMetadata } from \"xmcp\";\nexport const metadata = { name: \"h\" };\n",
        "export default async function h(_args, extra) {\n  SET = extra.authInfo.clientId;\n  await work();\n  return out(GET);\n}\n",
        "",
    ),
    (
        "the request of mcp-framework",
        "import { MCPTool, getRequestContext } from \"mcp-framework\";\n",
        "class H extends MCPTool {\n  async execute() {\n  SET = getRequestContext().authData.tenantId;\n  await work();\n  return out(GET);\n}\n}\n",
        "",
    ),
    (
        "the context of tmcp",
        "import { McpServer } from \"tmcp\";\nconst server = new McpServer({});\n",
        "server.tool({ name: \"h\" }, async () => {\n  SET = server.ctx.custom.tenantId;\n  await work();\n  return out(GET);\n});\n",
        "",
    ),
];

/// Whether a variable that requests share is found in a server.
fn found(source: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("server.ts"), source).unwrap();
    let mut options = Options { tenancy: Tenancy::Multi, ..Options::default() };
    options.selection.targets = vec![folder.path().to_owned()];
    let findings = scan(&options, &()).unwrap().document.findings;
    findings.iter().any(|finding| finding.rule == "request-in-shared-variable")
}

#[test]
fn what_requests_reach_is_known_in_every_framework() {
    let mut wrong = Vec::new();
    for (name, before, handler, after) in HANDLERS {
        let server = |handler: &str| {
            format!(
                "{before}let current = null;\n{handler}\nfunction out(given) {{ return given; }}\n{after}"
            )
        };
        // A class goes on behind the handler.
        let server = |handler: &str| match before.ends_with("  }\n") {
            true => format!(
                "let current = null;\n{before}{handler}{after}function out(given) {{ return given; }}\n"
            ),
            false => server(handler),
        };
        if !found(&server(&handler.replace("SET", "current").replace("GET", "current"))) {
            wrong.push(format!("nothing is found: {name}"));
        }
        if found(&server(&handler.replace("SET", "const own").replace("GET", "own"))) {
            wrong.push(format!("its own variable: {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
