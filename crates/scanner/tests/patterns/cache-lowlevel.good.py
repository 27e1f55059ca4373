from cachetools import TTLCache
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel import Server

server = Server("reports")
reports = TTLCache(maxsize=100, ttl=60)


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    tenant_id = get_access_token().client_id
    month = arguments["month"]
    found = reports.get((tenant_id, month))
    if found is None:
        found = await build_report(tenant_id, month)
        reports[(tenant_id, month)] = found
    return found
