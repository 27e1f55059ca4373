import asyncpg
from mcp.server.lowlevel import Server

server = Server("invoices")


@server.call_tool()
async def call_tool(name: str, arguments: dict) -> list:
    connection = await asyncpg.connect()
    return await connection.fetch(
        "select id, total from invoices where tenant_id = $1 and month = $2", arguments["tenant_id"], arguments["month"]
    )
