import { AsyncLocalStorage } from "node:async_hooks";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { search } from "./search.js";

interface Scope {
  tenant: string;
}
export const scopes = new AsyncLocalStorage<Scope>();
const server = new McpServer({ name: "search", version: "1.0.0" });

function scope(): Scope {
  const found = scopes.getStore();
  if (found === undefined) throw new Error("no tenant: the middleware that sets it is missing");
  return found;
}

server.registerTool("search", {}, async ({ query }: { query: string }) => {
  return { content: [{ type: "text", text: await search(scope().tenant, query) }] };
});
