import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { fetchDocument } from "./documents.js";

const server = new McpServer({ name: "documents", version: "1.0.0" });
const documentCache = new Map();

server.registerTool("read", {}, async ({ documentId }, extra) => {
  const tenantId = extra.authInfo.extra.tenantId;
  const key = `${tenantId}:${documentId}`;
  if (documentCache.has(key)) return documentCache.get(key);
  const document = await fetchDocument(tenantId, documentId);
  if (document.tenantId !== tenantId) throw new Error("not found");
  documentCache.set(key, document);
  return document;
});
