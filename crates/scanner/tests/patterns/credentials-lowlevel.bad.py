import os

from github import Github
from mcp.server.lowlevel import Server

server = Server("issues")
github = Github(os.environ["GITHUB_TOKEN"])


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    return github.get_repo(arguments["repo"]).get_issues()
