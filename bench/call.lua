-- wrk: one tools/call of `whoami`, in the form of revision 2026-07-28. TOKEN in the environment, if one is needed.
local token = os.getenv("TOKEN")
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["accept"] = "application/json, text/event-stream"
wrk.headers["mcp-protocol-version"] = "2026-07-28"
wrk.headers["mcp-method"] = "tools/call"
wrk.headers["mcp-name"] = "whoami"
if token and token ~= "" then wrk.headers["authorization"] = "Bearer " .. token end
wrk.body = [[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{},"_meta":{]]
  .. [["io.modelcontextprotocol/protocolVersion":"2026-07-28",]]
  .. [["io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},]]
  .. [["io.modelcontextprotocol/clientCapabilities":{}}}}]]
