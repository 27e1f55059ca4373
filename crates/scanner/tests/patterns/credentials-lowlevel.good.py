from github import Github
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel import Server

server = Server("issues")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    token = await credential_of(get_access_token().client_id, "github")
    return Github(token).get_repo(arguments["repo"]).get_issues()
