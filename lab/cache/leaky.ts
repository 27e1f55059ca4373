import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import { answer, refuse, serve, tenantOf, text, fail } from "../shared/http.ts";

const TICKETS: Record<string, { id: number; title: string }[]> = {
  acme: [{ id: 1, title: "Printer on fire" }, { id: 2, title: "Lost badge" }, { id: 40, title: "Acme payroll fails" }],
  globex: [{ id: 1, title: "Reactor leak" }, { id: 2, title: "New sign" }, { id: 41, title: "Globex merger rumours" }],
};

const cache = new Map<string, { id: number; title: string }>();

function build(tenant: string) {
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerTool("get_ticket", { description: "One ticket.", inputSchema: { id: z.number().int() } }, async ({ id }) => {
    const key = `ticket:${id}`;
    const known = cache.get(key);
    if (known) return text(known);
    const ticket = (TICKETS[tenant] ?? []).find((ticket) => ticket.id === id);
    if (!ticket) return fail(`no ticket ${id}`);
    cache.set(key, ticket);
    return text(ticket);
  });
  server.registerTool("list_tickets", { description: "The newest tickets." }, async () =>
    text(TICKETS[tenant] ?? []));
  server.registerTool("whoami", { description: "The caller's company." }, async () => text({ company: tenant }));
  return server;
}

serve(async (req, res) => {
  const tenant = tenantOf(req);
  if (!tenant) return refuse(res);
  await answer(req, res, build(tenant));
});
