import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Octokit } from "@octokit/rest";
import { credentialOf } from "./vault.js";

const server = new McpServer({ name: "issues", version: "1.0.0" });

server.registerTool("list_issues", {}, async ({ repo }, extra) => {
  const tenantId = extra.authInfo.extra.tenantId;
  const github = new Octokit({ auth: await credentialOf(tenantId, "github") });
  const issues = await github.issues.listForRepo({ owner: tenantId, repo });
  return { content: [{ type: "text", text: JSON.stringify(issues.data) }] };
});
