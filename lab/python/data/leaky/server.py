"""A help desk: tickets of two companies."""

import json
import os
import socket
import sqlite3

from fastmcp import FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier
from fastmcp.server.dependencies import get_access_token

TOKENS = {
    "token-acme-2f1d8a90c3": {"client_id": "desk", "sub": "anna", "tenant": "acme"},
    "token-globex-77b0e4c1d5": {"client_id": "desk", "sub": "gert", "tenant": "globex"},
}

mcp = FastMCP("desk", version="1.0.0", auth=StaticTokenVerifier(TOKENS))

db = sqlite3.connect(":memory:", check_same_thread=False)
db.row_factory = sqlite3.Row
db.execute("CREATE TABLE tickets (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, title TEXT NOT NULL)")
db.executemany(
    "INSERT INTO tickets (tenant_id, id, title) VALUES (?, ?, ?)",
    [
        ("acme", 1, "Printer on fire"),
        ("acme", 2, "Lost badge"),
        ("acme", 40, "Acme payroll fails"),
        ("globex", 1, "Reactor leak"),
        ("globex", 2, "New sign"),
        ("globex", 41, "Globex merger rumours"),
    ],
)


def caller_tenant() -> str:
    token = get_access_token()
    if token is None:
        raise ToolError("sign in first")
    return token.claims["tenant"]


def rows(sql: str, *values: object) -> list[dict]:
    return [dict(row) for row in db.execute(sql, values)]


@mcp.tool
async def list_tickets() -> list[dict]:
    """The newest tickets."""
    return rows("SELECT id, title FROM tickets WHERE tenant_id = ? ORDER BY id DESC", caller_tenant())


@mcp.tool
async def search_tickets(query: str) -> list[dict]:
    """Tickets whose title has a phrase."""
    return rows("SELECT id, title FROM tickets WHERE title LIKE ?", f"%{query}%")


@mcp.tool
async def get_ticket(id: int) -> dict:
    """One ticket."""
    found = rows("SELECT id, title FROM tickets WHERE tenant_id = ? AND id = ?", caller_tenant(), id)
    if not found:
        raise ToolError(f"no ticket {id}")
    return found[0]


def main() -> None:
    listener = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "0"))))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}), flush=True)
    mcp.run(transport="http", stateless_http=True, show_banner=False, log_level="CRITICAL", sockets=[listener])


if __name__ == "__main__":
    main()
