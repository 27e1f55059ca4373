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

type Page = { text: string; until: number };
const pages = new Map<string, Page>();

function build({ authInfo }: McpRequestContext) {
  const tenant = String(authInfo?.extra?.tenant);
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerResource("recent", "desk://tickets/recent", { mimeType: "application/json" }, async (uri) => {
    const key = `${tenant} ${uri.href}`;
    let page = pages.get(key);
    if (!page || page.until < Date.now()) {
      await pause(1);
      page = { text: JSON.stringify(TICKETS[tenant] ?? []), until: Date.now() + 30_000 };
      pages.set(key, page);
    }
    return { contents: [{ uri: uri.href, mimeType: "application/json", text: page.text }] };
  });
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
