from mcp.server.fastmcp import Context, FastMCP

mcp = FastMCP("notes")
current_tenant = None


@mcp.tool()
async def notes(query: str, ctx: Context) -> list:
    global current_tenant
    current_tenant = ctx.request_context.request.user.tenant_id
    await audit("notes")
    return await load(current_tenant, query)
