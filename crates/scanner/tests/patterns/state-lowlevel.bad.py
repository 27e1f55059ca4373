from mcp.server.lowlevel import Server

server = Server("notes")
session = {}


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    session["user"] = server.request_context.request.user
    await audit(name)
    return await load(session["user"].tenant_id, arguments["query"])
