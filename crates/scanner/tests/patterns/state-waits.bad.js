import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { loadConfig, report } from "./config.js";

const server = new McpServer({ name: "settings", version: "1.0.0" });
let currentTenantConfig = null;

server.registerTool("usage", {}, async (args, extra) => {
  currentTenantConfig = await loadConfig(extra.authInfo.extra.tenantId);
  const usage = await report(args.month);
  return { content: [{ type: "text", text: `${currentTenantConfig.name}: ${usage}` }] };
});
