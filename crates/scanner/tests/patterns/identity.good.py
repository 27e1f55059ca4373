from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token

mcp = FastMCP("notes")


@mcp.tool()
async def notes(query: str) -> list:
    return await load_notes(get_access_token().claims["tenant_id"], query)
