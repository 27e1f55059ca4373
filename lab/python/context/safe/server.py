"""A help desk: tickets of two companies."""

import json
import os
import socket
from contextvars import ContextVar

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

TOKENS = {"token-acme-2f1d8a90c3": "acme", "token-globex-77b0e4c1d5": "globex"}

TICKETS = {
    "acme": {1: "Printer on fire", 2: "Lost badge", 40: "Acme payroll fails"},
    "globex": {1: "Reactor leak", 2: "New sign", 41: "Globex merger rumours"},
}

current_tenant: ContextVar[str] = ContextVar("current_tenant")

mcp = MCPServer("desk", version="1.0.0", log_level="CRITICAL")


@mcp.tool()
async def list_tickets() -> list[dict]:
    """The newest tickets."""
    return [{"id": id, "title": title} for id, title in TICKETS[current_tenant.get()].items()]


@mcp.tool()
async def get_ticket(id: int) -> dict:
    """One ticket."""
    title = TICKETS[current_tenant.get()].get(id)
    if title is None:
        raise ToolError(f"no ticket {id}")
    return {"id": id, "title": title}


async def refuse(send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]})
    await send({"type": "http.response.body", "body": b""})


class BearerTokens:
    """Sets the caller's tenant for the run of one request."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        token = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        tenant = TOKENS.get(token)
        if tenant is None:
            await refuse(send)
            return
        reset = current_tenant.set(tenant)
        try:
            await self.app(scope, receive, send)
        finally:
            current_tenant.reset(reset)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
    app = BearerTokens(mcp.streamable_http_app(stateless_http=True))
    uvicorn.Server(uvicorn.Config(app, log_level="critical")).run(sockets=[listener])


if __name__ == "__main__":
    main()
