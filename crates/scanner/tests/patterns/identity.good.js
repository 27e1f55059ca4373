import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import pg from "pg";

const pool = new pg.Pool();
const server = new McpServer({ name: "invoices", version: "1.0.0" });

server.registerTool("list", { inputSchema: { month: z.string() } }, async ({ month }, extra) => {
  const tenantId = extra.authInfo.extra.tenantId;
  const { rows } = await pool.query("SELECT * FROM invoices WHERE tenant_id = $1 AND month = $2", [tenantId, month]);
  return { content: [{ type: "text", text: JSON.stringify(rows) }] };
});
