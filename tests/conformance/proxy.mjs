// A loopback proxy that adds a bearer token: the conformance suite cannot send one.
//
// Everything else passes as it came, Host and Origin included, so that what the suite says about them reaches the
// server. Bodies stream both ways; nothing is held back.

import http from "node:http";

/** Headers that concern one connection only. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-connection"]);

/** Pairs of a raw header list, without those of the connection. */
function* endToEnd(raw) {
  for (let at = 0; at < raw.length; at += 2) {
    if (!HOP_BY_HOP.has(raw[at].toLowerCase())) yield [raw[at], raw[at + 1]];
  }
}

/** Starts a proxy in front of `target` and gives its URL and a function that stops it. */
export async function startProxy(target, token) {
  const { hostname, port } = new URL(target);
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const headers = [...endToEnd(request.rawHeaders)].flat();
    headers.push("Authorization", `Bearer ${token}`);
    const { method, url: path } = request;
    const forward = http.request({ hostname, port, method, path, headers, agent, setHost: false });
    forward.on("response", (answer) => {
      response.writeHead(answer.statusCode, answer.statusMessage, [...endToEnd(answer.rawHeaders)].flat());
      response.flushHeaders();
      answer.pipe(response);
    });
    forward.on("error", (error) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502, { "content-type": "text/plain" }).end(`${error}\n`);
    });
    // Whoever closes first closes the other side too.
    response.on("close", () => forward.destroy());
    request.pipe(forward);
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const stop = () => {
    agent.destroy();
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, stop };
}
