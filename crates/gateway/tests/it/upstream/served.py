"""A small MCP server over HTTP that tells callers apart by their keys only (standard library only)."""
import json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SESSIONS = {}
LOST = {"status": 404}


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=None, **headers):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_DELETE(self):
        SESSIONS.pop(self.headers.get("Mcp-Session-Id"), None)
        self.reply(200, {})

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers.get("Authorization", "")
        if not key.startswith("Bearer key-of-"):
            return self.reply(401, {})
        method, number = message.get("method"), message.get("id")
        if method == "initialize":
            session = "session-%d" % (len(SESSIONS) + 1)
            SESSIONS[session] = {"key": key, "notes": []}
            result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                      "serverInfo": {"name": "served", "version": "1"}}
            return self.reply(200, {"jsonrpc": "2.0", "id": number, "result": result}, Mcp_Session_Id=session)
        session = SESSIONS.get(self.headers.get("Mcp-Session-Id"))
        if session is None or session["key"] != key:
            error = {"code": -32000, "message": "Bad Request: No valid session ID provided"}
            return self.reply(LOST["status"], {"jsonrpc": "2.0", "id": number, "error": error})
        if number is None:
            return self.reply(202)
        if method == "tools/list":
            schema = {"type": "object", "properties": {"note": {"type": "string"}}}
            names = ["note", "forget", "slow"] if "more" in sys.argv else ["note"]
            result = {"tools": [{"name": name, "inputSchema": schema} for name in names]}
        elif message["params"]["name"] == "forget":
            LOST["status"] = int(message["params"]["arguments"]["note"])
            SESSIONS.clear()
            result = {"content": [{"type": "text", "text": "forgotten"}]}
        elif message["params"]["name"] == "slow":
            time.sleep(float(message["params"]["arguments"]["note"]))
            result = {"content": [{"type": "text", "text": "done at last"}]}
        else:
            session["notes"].append(message["params"]["arguments"].get("note"))
            told = {"headers": dict(self.headers), "notes": session["notes"]}
            result = {"content": [{"type": "text", "text": json.dumps(told)}]}
        self.reply(200, {"jsonrpc": "2.0", "id": number, "result": result})


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
print(server.server_address[1], flush=True)
server.serve_forever()
