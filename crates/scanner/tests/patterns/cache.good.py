from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token

mcp = FastMCP("reports")
cache = {}


@mcp.tool()
async def report(month: str) -> dict:
    tenant_id = get_access_token().claims["tenant_id"]
    key = (tenant_id, month)
    if key in cache:
        return cache[key]
    cache[key] = await build_report(tenant_id, month)
    return cache[key]
