from contextvars import ContextVar

from mcp.server.fastmcp import FastMCP

mcp = FastMCP("search")
tenant_var: ContextVar[str | None] = ContextVar("tenant", default=None)


@mcp.tool()
async def search(query: str) -> list:
    tenant_id = tenant_var.get() or "public"
    return await search_in(tenant_id, query)
