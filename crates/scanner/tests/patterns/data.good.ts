import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { PrismaClient } from "@prisma/client";

const prisma = new PrismaClient();
const server = new McpServer({ name: "projects", version: "1.0.0" });

server.registerTool("rename", {}, async ({ id, name }: { id: string; name: string }, extra) => {
  const organizationId = extra.authInfo!.extra!.organizationId as string;
  await prisma.project.updateMany({ where: { id, organizationId }, data: { name } });
  return { content: [{ type: "text", text: "done" }] };
});
