from mcp.server.lowlevel import Server

server = Server("notes")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    user = server.request_context.request.user
    await audit(name)
    return await load(user.tenant_id, arguments["query"])
