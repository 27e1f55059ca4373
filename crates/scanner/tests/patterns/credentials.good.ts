import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import axios from "axios";
import { credentialOf } from "./vault.js";

const server = new McpServer({ name: "crm", version: "1.0.0" });

server.registerTool("contacts", {}, async ({ query }: { query: string }, extra) => {
  const token = await credentialOf(extra.authInfo!.extra!.tenantId as string, "crm");
  const crm = axios.create({ baseURL: "https://crm.example", headers: { Authorization: `Bearer ${token}` } });
  const found = await crm.get("/contacts", { params: { query } });
  return { content: [{ type: "text", text: JSON.stringify(found.data) }] };
});
