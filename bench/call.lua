-- wrk: one tools/call, in the form of revision 2026-07-28. TOOL in the environment is the tool, TOKENS a file with one
-- token a line; the requests use them in turn. An empty file is for a server that asks for none.
local tool = os.getenv("TOOL")
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["accept"] = "application/json, text/event-stream"
wrk.headers["mcp-protocol-version"] = "2026-07-28"
wrk.headers["mcp-method"] = "tools/call"
wrk.headers["mcp-name"] = tool
wrk.body = [[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"]] .. tool .. [[","arguments":{},"_meta":{]]
  .. [["io.modelcontextprotocol/protocolVersion":"2026-07-28",]]
  .. [["io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},]]
  .. [["io.modelcontextprotocol/clientCapabilities":{}}}}]]

local requests, next = {}, 0
function init()
  for token in io.lines(os.getenv("TOKENS")) do
    wrk.headers["authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format()
  end
  if #requests == 0 then requests[1] = wrk.format() end
end

function request()
  next = next % #requests + 1
  return requests[next]
end
