import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import { answer, refuse, serve, tenantOf, text, fail } from "../shared/http.ts";

const TICKETS: Record<string, { id: number; title: string }[]> = {
  acme: [{ id: 1, title: "Printer on fire" }, { id: 2, title: "Lost badge" }, { id: 40, title: "Acme payroll fails" }],
  globex: [{ id: 1, title: "Reactor leak" }, { id: 2, title: "New sign" }, { id: 41, title: "Globex merger rumours" }],
};

const KEYS: Record<string, string> = { acme: "key-of-acme-19", globex: "key-of-globex-83" };
const OPERATOR_KEY = process.env.CRM_API_KEY ?? "key-of-operator-55";

// The service behind the server: it says whose key it saw.
async function crm(path: string, key: string) {
  return { path, fingerprint: `fp-${key.slice(7)}` };
}

function build(tenant: string) {
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerTool("crm_account", { description: "The account at the CRM.", annotations: { readOnlyHint: true } }, async () =>
    text(await crm("/v1/account", OPERATOR_KEY)));
  server.registerTool("list_tickets", { description: "The newest tickets." }, async () =>
    text(TICKETS[tenant] ?? []));
  server.registerTool("get_ticket", { description: "One ticket.", inputSchema: { id: z.number().int() } }, async ({ id }) => {
    const ticket = (TICKETS[tenant] ?? []).find((ticket) => ticket.id === id);
    return ticket ? text(ticket) : fail(`no ticket ${id}`);
  });
  return server;
}

serve(async (req, res) => {
  const tenant = tenantOf(req);
  if (!tenant) return refuse(res);
  await answer(req, res, build(tenant));
});
