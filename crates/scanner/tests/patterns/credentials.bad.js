import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Octokit } from "@octokit/rest";

const server = new McpServer({ name: "issues", version: "1.0.0" });
const github = new Octokit({ auth: process.env.GITHUB_TOKEN });

server.registerTool("list_issues", {}, async ({ repo }, extra) => {
  const issues = await github.issues.listForRepo({ owner: extra.authInfo.extra.tenantId, repo });
  return { content: [{ type: "text", text: JSON.stringify(issues.data) }] };
});
