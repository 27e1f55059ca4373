from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.lowlevel import Server

server = Server("notes")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    tenant_id = get_access_token().client_id
    if arguments["tenant_id"] != tenant_id:
        raise ValueError("not found")
    return await load_notes(tenant_id, arguments["query"])
