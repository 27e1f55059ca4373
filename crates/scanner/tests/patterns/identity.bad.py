from mcp.server.fastmcp import FastMCP

mcp = FastMCP("notes")


@mcp.tool()
async def notes(tenant_id: str, query: str) -> list:
    return await load_notes(tenant_id, query)
