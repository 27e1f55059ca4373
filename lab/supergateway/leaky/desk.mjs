import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const RULES = [
  { id: 1, title: "Tickets are answered within a day" },
  { id: 2, title: "Badges are returned at the desk" },
];

const text = (value) => ({ content: [{ type: "text", text: JSON.stringify(value) }] });
const reads = { annotations: { readOnlyHint: true } };

const server = new McpServer({ name: "desk", version: "1.0.0" });
server.registerTool("list_rules", { description: "The rules of the desk.", ...reads }, async () => text(RULES));
server.registerTool(
  "search_rules",
  { description: "Rules with a word in them.", inputSchema: { query: z.string() }, ...reads },
  async ({ query }) => text({ query, found: RULES.filter((rule) => rule.title.includes(query)) }),
);
await server.connect(new StdioServerTransport());
