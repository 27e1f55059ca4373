import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import pg from "pg";

const pool = new pg.Pool();
const server = new McpServer({ name: "invoices", version: "1.0.0" });

async function invoice(tenantId, id) {
  const { rows } = await pool.query("SELECT * FROM invoices WHERE tenant_id = $1 AND id = $2", [tenantId, id]);
  return rows[0];
}

server.registerTool("get_invoice", {}, async ({ id }, extra) => {
  const found = await invoice(extra.authInfo.extra.tenantId, id);
  return { content: [{ type: "text", text: JSON.stringify(found) }] };
});
