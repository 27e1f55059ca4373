from mcp.server.lowlevel import Server

server = Server("billing")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    async with open_connection() as db:
        found = await db.execute("SELECT month, total FROM invoices WHERE id = %s", (arguments["id"],))
        return await found.fetchall()
