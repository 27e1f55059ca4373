import asyncpg
from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token

mcp = FastMCP("billing")
pool = None


@mcp.tool()
async def invoice(invoice_id: str) -> dict:
    tenant_id = get_access_token().claims["tenant_id"]
    row = await pool.fetchrow("SELECT total FROM invoices WHERE id = $1 AND tenant_id = $2", invoice_id, tenant_id)
    return dict(row)
