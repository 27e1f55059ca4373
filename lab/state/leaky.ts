import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { z } from "zod";
import { answer, pause, refuse, serve, tenantOf, text, fail } from "../shared/http.ts";

const TICKETS: Record<string, { id: number; title: string }[]> = {
  acme: [{ id: 1, title: "Printer on fire" }, { id: 2, title: "Lost badge" }, { id: 40, title: "Acme payroll fails" }],
  globex: [{ id: 1, title: "Reactor leak" }, { id: 2, title: "New sign" }, { id: 41, title: "Globex merger rumours" }],
};

type Desk = { company: string; greeting: string };
let desk: Desk | undefined;

async function load(tenant: string): Promise<Desk> {
  await pause(2);
  return { company: tenant, greeting: `Welcome to the desk of ${tenant}` };
}

function build(tenant: string) {
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerTool("current_desk", { description: "Returns the desk of the caller.", annotations: { readOnlyHint: true } }, async () => {
    desk = await load(tenant);
    await pause(2);
    return text(desk);
  });
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
