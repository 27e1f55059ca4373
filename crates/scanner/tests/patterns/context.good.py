from contextvars import ContextVar

from mcp.server.fastmcp import FastMCP

mcp = FastMCP("search")
tenant_var: ContextVar[str] = ContextVar("tenant")


@mcp.tool()
async def search(query: str) -> list:
    return await search_in(tenant_var.get(), query)
