// The TypeScript SDK 2.x, in both generations of the protocol.

import assert from "node:assert/strict";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { main } from "./neighbours.mjs";

const connector = (mode, era) => async (url, token) => {
  const client = new Client({ name: "partywall-tests", version: "1" }, { versionNegotiation: { mode } });
  const requestInit = { headers: { Authorization: `Bearer ${token}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  assert.equal(client.getProtocolEra(), era);
  return {
    listTools: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: (name, args) => client.callTool({ name, arguments: args }),
    close: () => client.close(),
  };
};

await main("typescript-sdk 2.x", {
  "2026-07-28": connector({ pin: "2026-07-28" }, "modern"),
  auto: connector("auto", "modern"),
  legacy: connector("legacy", "legacy"),
});
