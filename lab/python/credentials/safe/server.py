"""A help desk: tickets of two companies."""

import json
import os
import socket

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp.server.dependencies import get_access_token

TOKENS = {
    "token-acme-2f1d8a90c3": {"client_id": "desk", "sub": "anna", "tenant": "acme"},
    "token-globex-77b0e4c1d5": {"client_id": "desk", "sub": "gert", "tenant": "globex"},
}

mcp = FastMCP("desk", version="1.0.0", auth=StaticTokenVerifier(TOKENS))

TICKETS = {
    "acme": {1: "Printer on fire", 2: "Lost badge", 40: "Acme payroll fails"},
    "globex": {1: "Reactor leak", 2: "New sign", 41: "Globex merger rumours"},
}

KEYS = {"acme": "key-of-acme-19", "globex": "key-of-globex-83"}


def caller_tenant() -> str:
    token = get_access_token()
    if token is None:
        raise ToolError("sign in first")
    return token.claims["tenant"]


async def crm(path: str, key: str) -> dict:
    """The service behind the server: it says whose key it saw."""
    return {"path": path, "fingerprint": f"fp-{key[7:]}"}


@mcp.tool(annotations={"readOnlyHint": True})
async def crm_account() -> dict:
    """The account at the CRM."""
    key = KEYS.get(caller_tenant())
    if key is None:
        raise ToolError("no CRM key is set up for you")
    return await crm("/v1/account", key)


@mcp.tool
async def list_tickets() -> list[dict]:
    """The newest tickets."""
    return [{"id": id, "title": title} for id, title in TICKETS[caller_tenant()].items()]


@mcp.tool
async def get_ticket(id: int) -> dict:
    """One ticket."""
    title = TICKETS[caller_tenant()].get(id)
    if title is None:
        raise ToolError(f"no ticket {id}")
    return {"id": id, "title": title}


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
    mcp.run(transport="http", stateless_http=True, show_banner=False, log_level="CRITICAL", sockets=[listener])


if __name__ == "__main__":
    main()
