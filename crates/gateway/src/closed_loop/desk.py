"""An MCP server that knows one tenant: the one that it was started for."""
import json
import sys

DESKS = {"acme": "Printer on fire", "globex": "Reactor leak"}
TOOL = {"name": "today", "description": "Returns what the desk works on today.",
        "inputSchema": {"type": "object", "properties": {}}, "annotations": {"readOnlyHint": True}}

for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    if message["method"] == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                  "serverInfo": {"name": "desk", "version": "1"}}
    elif message["method"] == "tools/list":
        result = {"tools": [TOOL]}
    else:
        today = {"desk": sys.argv[1], "today": DESKS[sys.argv[1]]}
        result = {"content": [{"type": "text", "text": json.dumps(today)}], "structuredContent": today}
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
