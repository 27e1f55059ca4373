import asyncpg
from mcp.server.fastmcp import FastMCP

mcp = FastMCP("billing")
pool = None


@mcp.tool()
async def invoice(invoice_id: str) -> dict:
    row = await pool.fetchrow("SELECT total FROM invoices WHERE id = $1", invoice_id)
    return dict(row)
