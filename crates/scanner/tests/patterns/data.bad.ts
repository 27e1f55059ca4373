import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { PrismaClient } from "@prisma/client";

const prisma = new PrismaClient();
const server = new McpServer({ name: "projects", version: "1.0.0" });

export async function listProjects(organizationId: string) {
  return prisma.project.findMany({ where: { organizationId } });
}

server.registerTool("rename", {}, async ({ id, name }: { id: string; name: string }, extra) => {
  await prisma.project.updateMany({ where: { id }, data: { name } });
  return { content: [{ type: "text", text: "done" }] };
});
