import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { fetchDocument } from "./documents.js";

const server = new McpServer({ name: "documents", version: "1.0.0" });
const documentCache = new Map();

server.registerTool("read", {}, async ({ documentId }, extra) => {
  if (documentCache.has(documentId)) return documentCache.get(documentId);
  const document = await fetchDocument(extra.authInfo.extra.tenantId, documentId);
  documentCache.set(documentId, document);
  return document;
});
