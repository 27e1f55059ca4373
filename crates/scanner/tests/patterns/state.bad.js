// As it is often printed: nothing waits between the assignment and the read, so that it is latent.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";

const server = new McpServer({ name: "settings", version: "1.0.0" });
let currentTenantConfig = null;

server.registerTool("show_plan", {}, async (args, extra) => {
  currentTenantConfig = extra.authInfo.extra.tenant;
  return { content: [{ type: "text", text: currentTenantConfig.plan }] };
});
