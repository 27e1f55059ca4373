import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import axios from "axios";

const token = process.env.CRM_API_KEY;
const crm = axios.create({ baseURL: "https://crm.example", headers: { Authorization: `Bearer ${token}` } });
const server = new McpServer({ name: "crm", version: "1.0.0" });

server.registerTool("contacts", {}, async ({ query }: { query: string }, extra) => {
  const found = await crm.get("/contacts", { params: { query } });
  return { content: [{ type: "text", text: JSON.stringify(found.data) }] };
});
