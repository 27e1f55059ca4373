import os

import httpx
from fastmcp import FastMCP

mcp = FastMCP("crm")
crm = httpx.AsyncClient(headers={"Authorization": f"Bearer {os.environ['CRM_TOKEN']}"})


@mcp.tool()
async def contacts(query: str) -> dict:
    return (await crm.get("https://crm.example/contacts", params={"q": query})).json()
