import express, { type Request, type Response } from "express";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { AuthInfo } from "@modelcontextprotocol/sdk/server/auth/types.js";
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

async function tickets(auth: AuthInfo | undefined) {
  await pause(2);
  return TICKETS[String(auth?.extra?.tenant)] ?? [];
}

function build() {
  const server = new McpServer({ name: "desk", version: "1.0.0" });
  server.registerTool("list_tickets", { description: "The newest tickets." }, async ({ authInfo }) =>
    text(await tickets(authInfo)));
  server.registerTool(
    "get_ticket",
    { description: "One ticket.", inputSchema: { id: z.number().int() } },
    async ({ id }, { authInfo }) => {
      const ticket = (await tickets(authInfo)).find((ticket) => ticket.id === id);
      return ticket ? text(ticket) : { ...text(`no ticket ${id}`), isError: true };
    },
  );
  server.registerTool("whoami", { description: "The caller's company." }, async ({ authInfo }) =>
    text({ company: authInfo?.extra?.tenant }));
  return server;
}

const server = build();
const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
await server.connect(transport);

const app = express();
app.use(express.json());
app.post("/mcp", async (req: Request & { auth?: AuthInfo }, res: Response) => {
  const token = (req.headers.authorization ?? "").replace(/^Bearer /, "");
  const tenant = TOKENS.get(token);
  if (!tenant) {
    res.status(401).set("WWW-Authenticate", "Bearer").json({ error: "invalid_token" });
    return;
  }
  req.auth = { token, clientId: "desk", scopes: [], extra: { tenant } };
  await transport.handleRequest(req, res, req.body);
});
app.all("/mcp", (_req, res) => void res.status(405).set("Allow", "POST").end());

const listening = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  const address = listening.address() as { port: number };
  console.log(JSON.stringify({ url: `http://127.0.0.1:${address.port}/mcp` }));
});
