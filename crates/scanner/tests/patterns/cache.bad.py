from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token

mcp = FastMCP("reports")
cache = {}


@mcp.tool()
async def report(month: str) -> dict:
    if month in cache:
        return cache[month]
    tenant_id = get_access_token().claims["tenant_id"]
    cache[month] = await build_report(tenant_id, month)
    return cache[month]
