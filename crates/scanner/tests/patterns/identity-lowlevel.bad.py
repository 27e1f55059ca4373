from mcp.server.lowlevel import Server

server = Server("notes")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    return await load_notes(arguments["tenant_id"], arguments["query"])
