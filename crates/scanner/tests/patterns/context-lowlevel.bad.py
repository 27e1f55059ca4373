from contextvars import ContextVar

from mcp.server.lowlevel import Server

server = Server("search")
tenant_var = ContextVar("tenant", default="default")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    tenant_id = tenant_var.get()
    return await search_in(tenant_id, arguments["query"])
