from mcp.server.fastmcp import Context, FastMCP

mcp = FastMCP("notes")


@mcp.tool()
async def notes(query: str, ctx: Context) -> list:
    tenant_id = ctx.request_context.request.user.tenant_id
    await audit("notes")
    return await load(tenant_id, query)
