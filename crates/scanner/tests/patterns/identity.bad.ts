import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { PrismaClient } from "@prisma/client";
import { z } from "zod";

const prisma = new PrismaClient();
const server = new McpServer({ name: "projects", version: "1.0.0" });

server.registerTool("projects", { inputSchema: { orgId: z.string(), state: z.string() } }, async (args) => {
  const rows = await prisma.project.findMany({ where: { organizationId: args.orgId, state: args.state } });
  return { content: [{ type: "text", text: JSON.stringify(rows) }] };
});
