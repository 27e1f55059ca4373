"""A small MCP server on standard input and output, honest unless it is told otherwise (standard library only)."""
import json, os, subprocess, sys, threading, time, uuid

MODE = sys.argv[1] if len(sys.argv) > 1 else "honest"
RUN = uuid.uuid4().hex
NOTES = []
LOCK = threading.Lock()
LISTED = {"extra": False, "times": 0}


def send(message):
    with LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def text(value, **more):
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}], **more}


def tool(name, reads=False, properties=None, **more):
    entry = {"name": name, "description": "Does " + name + ".",
             "inputSchema": {"type": "object", "properties": properties or {}}, **more}
    if reads:
        entry["annotations"] = {"readOnlyHint": True}
    return entry


def tools():
    listed = [
        tool("remember", properties={"note": {"type": "string"}}),
        tool("recall", reads=True),
        tool("surroundings", reads=True),
        tool("write_file", properties={"name": {"type": "string"}, "body": {"type": "string"}}),
        tool("files", reads=True),
        tool("crash"),
        tool("hang", reads=True),
        tool("slow", reads=True),
        tool("fail", reads=True),
        tool("flood", reads=True),
        tool("huge", reads=True),
        tool("grow"),
        tool("strange", reads=True),
        tool("ask_client", reads=True),
        tool("whom", reads=True, properties={"who": {"type": "string"}, "what": {"type": "string"}}),
        tool("spawn"),
        tool("big_result", reads=True, properties={"size": {"type": "integer"}}),
    ]
    if MODE == "more":
        listed += [
            tool("sleep", properties={"seconds": {"type": "number"}}),
            tool("deaf", reads=True),
        ]
    if MODE == "hostile":
        listed += [
            tool("of_tenant", properties={"tenant_id": {"type": "string"}}),
            tool("of_deep", properties={"filter": {"type": "object", "properties": {"organization": {}}}}),
            tool("of_elsewhere", properties={"a": {"$ref": "https://example.com/schema.json"}}),
            tool("no such name!"), tool("x" * 80), tool("recall"),
            tool("icons", icons=[{"src": "https://example.com/i.png"}], _meta={"secret": "meta"}),
            {"name": 7}, "tool", None,
            tool("opened", reads=True, properties={"f": {"type": "object"}}),
            {"name": "of_text", "inputSchema": {"type": "string"}},
            {"name": "of_nothing", "inputSchema": {}, "outputSchema": {"type": "array"}},
            {"name": "of_region", "inputSchema": {"type": "object", "$ref": "#/$defs/x", "$defs": {
                "x": {"properties": {"region": {"type": "string"}}}}}},
            {"name": "any_region", "inputSchema": {"type": "object", "additionalProperties": True}},
        ]
    if LISTED["extra"]:
        listed.append(tool("extra"))
    return listed


def call(name, args, params, number):
    if name == "remember":
        NOTES.append(args.get("note"))
        return text(NOTES)
    if name == "recall":
        return text(NOTES, structuredContent={"notes": NOTES})
    if name == "surroundings":
        return text({"env": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "run": RUN,
                     "params": params})
    if name == "write_file":
        with open(args["name"], "w") as file:
            file.write(args["body"])
        return text("written")
    if name == "files":
        return text(sorted(entry for entry in os.listdir(".") if not entry.startswith(".")))
    if name == "crash":
        os._exit(3)
    if name == "sleep":
        time.sleep(args["seconds"])
        return text("slept")
    if name == "deaf":
        DEAF.append(True)
        time.sleep(3600)
    if name == "hang":
        time.sleep(3600)
    if name == "slow":
        token = params.get("_meta", {}).get("progressToken")
        for step in range(3):
            if token is not None:
                send({"jsonrpc": "2.0", "method": "notifications/progress",
                      "params": {"progressToken": token, "progress": step, "total": 3, "message": "step"}})
            time.sleep(0.05)
        return text("done")
    if name == "fail":
        return text("it did not work", isError=True)
    if name == "flood":
        for n in range(2000):
            send({"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": n}})
            send({"jsonrpc": "2.0", "id": 100000 + n, "result": text("nobody asked")})
        return text("flooded")
    if name == "huge":
        return text("x" * (6 << 20))
    if name == "big_result":
        return text("x" * args["size"])
    if name == "grow":
        LISTED["extra"] = True
        send({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        return text("grown")
    if name == "strange":
        return {"content": [{"type": "hologram", "data": 1}]}
    if name == "ask_client":
        send({"jsonrpc": "2.0", "id": "q1", "method": "sampling/createMessage", "params": {}})
        send({"jsonrpc": "2.0", "id": "q2", "method": "ping"})
        return text("asked")
    if name in ("opened", "any_region"):
        return text(args)
    if name == "whom":
        return text({"who": args.get("who"), "what": args.get("what")})
    if name == "spawn":
        # Its number here may be another one outside, so it is found by what stands in its command line.
        subprocess.Popen(["sh", "-c", "sleep 3600; : " + sys.argv[2]])
        return text({"mark": sys.argv[2]})
    raise KeyError(name)


ANSWERS = []
DEAF = []


def serve(message):
    method, number, params = message.get("method"), message.get("id"), message.get("params", {})
    if method is None:
        ANSWERS.append(message)
    elif method == "initialize":
        if MODE == "stateless":
            send({"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "Method not found"}})
            return
        if MODE == "slow-start":
            time.sleep(1)
        send({"jsonrpc": "2.0", "id": number, "result": {
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "test", "version": "1"}}})
    elif method == "server/discover":
        send({"jsonrpc": "2.0", "id": number, "result": {
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
    elif method == "tools/list":
        LISTED["times"] += 1
        listed, start = tools(), int(params.get("cursor") or 0)
        page = {"tools": listed[start:start + 5]}
        if start + 5 < len(listed) or MODE == "endless":
            page["nextCursor"] = str(start + 5)
        send({"jsonrpc": "2.0", "id": number, "result": page})
    elif method == "tools/call":
        def work():
            try:
                result = call(params["name"], params.get("arguments", {}), params, number)
                send({"result": result, "jsonrpc": "2.0", "id": number})
            except KeyError:
                send({"jsonrpc": "2.0", "id": number,
                      "error": {"code": -32602, "message": "Unknown tool: " + str(params["name"])}})
            except Exception as error:
                send({"jsonrpc": "2.0", "id": number, "error": {"code": -32603, "message": repr(error)}})
        threading.Thread(target=work, daemon=True).start()
    elif number is not None:
        send({"jsonrpc": "2.0", "id": number, "error": {"code": -32601, "message": "Method not found"}})


if MODE == "garbage":
    for _ in range(1000):
        print("this is no message", flush=True)
    time.sleep(3600)
if MODE == "silent":
    time.sleep(3600)
if MODE == "dies":
    print("the key is " + os.environ.get("KEY", ""), file=sys.stderr, flush=True)
    sys.exit(1)
print("Server is running", flush=True)
print("it begins, with the key " + os.environ.get("KEY", ""), file=sys.stderr, flush=True)
for line in sys.stdin:
    while DEAF:
        time.sleep(1)
    serve(json.loads(line))
