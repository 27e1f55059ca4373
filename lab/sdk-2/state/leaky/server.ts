import { createServer } from "node:http";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer, type AuthInfo, type McpRequestContext } from "@modelcontextprotocol/server";
import { z } from "zod";

const TOKENS = new Map([
  ["token-acme-2f1d8a90c3", "acme"],
  ["token-globex-77b0e4c1d5", "globex"],
]);

const TICKETS: Record<string, { id: number; title: string }[]> = {
  acme: [{ id: 1, title: "Printer on fire" }, { id: 2, title: "Lost badge" }, { id: 40, title: "Acme payroll fails" }],
  globex: [{ id: 1, title: "Reactor leak" }, { id: 2, title: "New sign" }, { id: 41, title: "Globex merger rumours" }],
};

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const text = (value: unknown) => ({ content: [{ type: "text" as const, text: JSON.stringify(value) }] });

let caller: AuthInfo | undefined;

async function greeting() {
  await pause(2);
  return "Welcome to the desk of";
}

function build(context: McpRequestContext) {
  caller = context.authInfo;
  const tenant = String(context.authInfo?.extra?.tenant);
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerTool("current_desk", { description: "Returns the desk of the caller.", annotations: { readOnlyHint: true } }, async () =>
    text(`${await greeting()} ${caller?.extra?.tenant}`));
  server.registerTool("list_tickets", { description: "The newest tickets." }, async () =>
    text(TICKETS[tenant] ?? []));
  server.registerTool("get_ticket", { description: "One ticket.", inputSchema: z.object({ id: z.number().int() }) }, async ({ id }) => {
    const ticket = (TICKETS[tenant] ?? []).find((ticket) => ticket.id === id);
    return ticket ? text(ticket) : { ...text(`no ticket ${id}`), isError: true };
  });
  return server;
}

const handle = toNodeHandler(createMcpHandler(build, { legacy: "reject" }));
const listening = createServer((req, res) => {
  const token = (req.headers.authorization ?? "").replace(/^Bearer /, "");
  const tenant = TOKENS.get(token);
  if (!tenant) {
    res.writeHead(401, { "WWW-Authenticate": "Bearer" }).end();
    return;
  }
  const auth: AuthInfo = { token, clientId: "desk", scopes: [], extra: { tenant } };
  void handle(Object.assign(req, { auth }), res);
});
listening.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  const address = listening.address() as { port: number };
  console.log(JSON.stringify({ url: `http://127.0.0.1:${address.port}/mcp` }));
});
