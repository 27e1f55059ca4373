import { AsyncLocalStorage } from "node:async_hooks";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { search } from "./search.js";

interface Scope {
  tenant: string;
}
export const scopes = new AsyncLocalStorage<Scope>();
const server = new McpServer({ name: "search", version: "1.0.0" });

server.registerTool("search", {}, async ({ query }: { query: string }) => {
  const s = scopes.getStore();
  const tenant = s ? s.tenant : "public";
  return { content: [{ type: "text", text: await search(tenant, query) }] };
});
