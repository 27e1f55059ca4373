import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import { answer, refuse, serve, tenantOf, text, fail } from "../shared/http.ts";
import { DatabaseSync } from "node:sqlite";

const db = new DatabaseSync(":memory:");
db.exec("CREATE TABLE tickets (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, title TEXT NOT NULL)");
const insert = db.prepare("INSERT INTO tickets (tenant_id, id, title) VALUES (?, ?, ?)");
for (const [tenant, id, title] of [
  ["acme", 1, "Printer on fire"], ["acme", 2, "Lost badge"], ["acme", 40, "Acme payroll fails"],
  ["globex", 1, "Reactor leak"], ["globex", 2, "New sign"], ["globex", 41, "Globex merger rumours"],
]) insert.run(tenant as string, id as number, title as string);

function build(tenant: string) {
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerTool("list_tickets", { description: "The newest tickets." }, async () =>
    text(db.prepare("SELECT id, title FROM tickets WHERE tenant_id = ? ORDER BY id DESC").all(tenant)));
  server.registerTool(
    "search_tickets",
    { description: "Tickets whose title has a phrase.", inputSchema: { query: z.string() } },
    async ({ query }) =>
      text(db.prepare("SELECT id, title FROM tickets WHERE tenant_id = ? AND title LIKE ?").all(tenant, `%${query}%`)),
  );
  server.registerTool("get_ticket", { description: "One ticket.", inputSchema: { id: z.number().int() } }, async ({ id }) => {
    const ticket = db.prepare("SELECT id, title FROM tickets WHERE tenant_id = ? AND id = ?").get(tenant, id);
    return ticket ? text(ticket) : fail(`no ticket ${id}`);
  });
  return server;
}

serve(async (req, res) => {
  const tenant = tenantOf(req);
  if (!tenant) return refuse(res);
  await answer(req, res, build(tenant));
});
