import asyncpg
from mcp.server.fastmcp import FastMCP

mcp = FastMCP("invoices")


@mcp.tool()
async def invoices(tenant_id: str, month: str) -> list:
    connection = await asyncpg.connect()
    return await connection.fetch("select id, total from invoices where tenant_id = $1 and month = $2", tenant_id, month)
