from cachetools import TTLCache
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel import Server

server = Server("reports")
reports = TTLCache(maxsize=100, ttl=60)


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    month = arguments["month"]
    found = reports.get(month)
    if found is None:
        found = await build_report(get_access_token().client_id, month)
        reports[month] = found
    return found
