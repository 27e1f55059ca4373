// What all servers of the lab have in common: bearer tokens, one endpoint, a line of JSON when ready.
import express, { type Request, type Response } from "express";
import type { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";

const TOKENS = new Map([
  ["token-acme-2f1d8a90c3", "acme"],
  ["token-globex-77b0e4c1d5", "globex"],
]);

export function tenantOf(req: Request): string | undefined {
  const header = req.headers.authorization ?? "";
  return header.startsWith("Bearer ") ? TOKENS.get(header.slice(7)) : undefined;
}

export function text(value: unknown) {
  return { content: [{ type: "text" as const, text: JSON.stringify(value) }] };
}

export function fail(message: string) {
  return { content: [{ type: "text" as const, text: message }], isError: true };
}

export const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

// A fresh server and transport for each request: nothing is shared between callers here.
export async function answer(req: Request, res: Response, server: McpServer) {
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  res.on("close", () => {
    void transport.close();
    void server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(req, res, req.body);
}

export function serve(handle: (req: Request, res: Response) => Promise<void> | void) {
  const app = express();
  app.use(express.json());
  app.all("/mcp", (req, res) => void handle(req, res));
  const listening = app.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
    const address = listening.address() as { port: number };
    console.log(JSON.stringify({ url: `http://127.0.0.1:${address.port}/mcp` }));
  });
  process.on("SIGTERM", () => process.exit(0));
}

export function refuse(res: Response) {
  res.status(401).set("WWW-Authenticate", "Bearer").json({ error: "invalid_token" });
}
