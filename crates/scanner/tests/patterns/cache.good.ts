import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { LRUCache } from "lru-cache";
import { loadPage, type Page } from "./pages.js";

const pages = new LRUCache<string, Page>({ max: 500 });
const server = new McpServer({ name: "wiki", version: "1.0.0" });

const keyOf = (orgId: string, slug: string): string => JSON.stringify([orgId, slug]);

async function page(orgId: string, slug: string): Promise<Page> {
  const hit = pages.get(keyOf(orgId, slug));
  if (hit) return hit;
  const loaded = await loadPage(orgId, slug);
  pages.set(keyOf(orgId, slug), loaded);
  return loaded;
}

server.registerTool("page", {}, async ({ slug }: { slug: string }, extra) => {
  const found = await page(extra.authInfo!.extra!.orgId as string, slug);
  return { content: [{ type: "text", text: found.text }] };
});
