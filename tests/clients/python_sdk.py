"""The Python SDK, in both generations of the protocol, as both tenants of the demo at once.

The plan is calls.json, as for the other clients; see neighbours.mjs.
"""

import asyncio
import json
import re
import sys
import traceback
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

HERE = Path(__file__).parent
PLAN = json.loads((HERE / "calls.json").read_text())
TENANTS = list(PLAN["canaries"])
TOOLS = sorted({call["tool"] for call in [*PLAN["calls"], PLAN["plant"]]})


def seeded(tenant):
    """The texts of a tenant's seed that say more than a date or a state."""
    sql = (HERE / f"../../examples/helpdesk/seed/{tenant}.sql").read_text()
    texts = (text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", sql))
    return {text for text in texts if len(text) > 6}


def find_canaries():
    """Each tenant's canaries: what its data has and the neighbour's has not."""
    found = {}
    for tenant in TENANTS:
        others = set().union(*(seeded(other) for other in TENANTS if other != tenant))
        own = seeded(tenant) - others
        assert len(own) >= 20, f"{tenant}'s seed has only {len(own)} canaries"
        found[tenant] = [text.lower() for text in [*PLAN["canaries"][tenant], *own]]
    return found


CANARIES = find_canaries()


def text_of(reply):
    """A reply's text, without escapes, to look for canaries in."""
    if isinstance(reply, BaseException):
        text = f"{reply!r} {reply} {getattr(reply, 'error', '')}"
    else:
        text = reply.model_dump_json(by_alias=True)
    return text.replace("\\", "").lower()


def judge(tenant, what, reply, must_tell=True):
    """Fails when a reply has anything of a neighbour, or nothing of the caller's own where it must."""
    text = text_of(reply)

    def seen(owner):
        return next((canary for canary in CANARIES.get(owner, []) if canary in text), None)

    for other in TENANTS:
        if other != tenant:
            assert not seen(other), f"{what} as {tenant} has `{seen(other)}`, which is {other}'s: {text}"
    if must_tell:
        assert seen(tenant), f"{what} as {tenant} has nothing of {tenant}'s: {text}"


@asynccontextmanager
async def connect(mode, url, token, statuses=None):
    """A client; the status of each HTTP reply is added to `statuses`."""

    async def note(response):
        if statuses is not None:
            statuses.append(response.status_code)

    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, event_hooks={"response": [note]}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode=mode) as client:
            modern = client.protocol_version == "2026-07-28"
            assert modern == (mode == "auto"), f"{mode} speaks {client.protocol_version}"
            yield client


async def call(tenant, client, tool, arguments, must_tell=True):
    reply = await client.call_tool(tool, arguments)
    assert not reply.is_error, f"{tool} as {tenant} failed: {text_of(reply)}"
    judge(tenant, tool, reply, must_tell)
    return reply


async def plant(tenant, client):
    """Adds a comment that nobody else may ever see."""
    body = f"planted for {tenant} {uuid.uuid4()}"
    CANARIES[tenant].append(body)
    ticket = PLAN["plant"]["ticket_id"]
    await call(tenant, client, PLAN["plant"]["tool"], {"ticket_id": ticket, "body": body}, must_tell=False)
    reply = await call(tenant, client, "get_ticket", {"id": ticket})
    assert body in text_of(reply), f"{tenant}'s own comment is missing: {text_of(reply)}"
    return 2


async def refusals(tenant, client):
    """Calls that must be refused, and how."""
    for refused in PLAN["refusals"]:
        tool, arguments = refused["tool"], refused["arguments"]
        try:
            outcome = await client.call_tool(tool, arguments)
        except MCPError as error:
            outcome = error
        what = f"{tool} {arguments}"
        if refused["as"] == "protocol":
            assert getattr(outcome, "code", None) == -32602, f"{what} as {tenant}: {text_of(outcome)}"
        else:
            assert getattr(outcome, "is_error", False), f"{what} as {tenant}: {text_of(outcome)}"
        judge(tenant, what, outcome, must_tell=False)
    return len(PLAN["refusals"])


async def as_tenant(mode, url, tenant, token):
    async with connect(mode, url, token) as client:
        listed = await client.list_tools()
        assert sorted(tool.name for tool in listed.tools) == TOOLS, text_of(listed)
        calls = 1
        for _ in range(PLAN["rounds"]):
            await asyncio.gather(*(call(tenant, client, c["tool"], c["arguments"]) for c in PLAN["calls"]))
            calls += len(PLAN["calls"])
        calls += await plant(tenant, client)
        return calls + await refusals(tenant, client)


def leaves(error):
    """The errors in a group of errors."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


async def strangers(mode, url, tokens):
    """Tokens that must not connect: nonsense, and one whose signature was changed."""
    token = next(iter(tokens.values()))
    changed = token[:-8] + ("B" if token[-8] == "A" else "A") + token[-7:]
    for bad in ["nonsense", changed]:
        statuses = []
        try:
            async with connect(mode, url, bad, statuses):
                pass
        except Exception as error:
            # The client says only that the server refused; the status says why.
            assert any(isinstance(leaf, MCPError) for leaf in leaves(error)), f"a bad token: {error!r}"
            assert set(statuses) == {401}, f"a bad token: {statuses}"
            judge("nobody", "a bad token", error, must_tell=False)
        else:
            raise AssertionError("a bad token was let in")
    return 2


async def main():
    demo = json.loads(Path(sys.argv[1]).read_text())
    url, tokens = demo["url"], demo["tokens"]
    calls = 0
    for mode in ["auto", "legacy"]:
        both = (as_tenant(mode, url, tenant, tokens[tenant]) for tenant in TENANTS)
        outcomes = await asyncio.gather(*both, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            calls += outcome
        calls += await strangers(mode, url, tokens)
        # The demo lets each tenant make 50 calls a second; the next mode finds its allowance full again.
        await asyncio.sleep(1.5)
    print(f"client python-sdk 2.x: ok, {calls} calls (auto, legacy)")


try:
    asyncio.run(main())
except Exception as failure:
    traceback.print_exception(failure)
    reasons = "; ".join(str(leaf).splitlines()[0] for leaf in leaves(failure) if str(leaf))
    print(f"client python-sdk 2.x: FAILED: {reasons}")
    sys.exit(1)
