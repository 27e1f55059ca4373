import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { CallToolRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { compute } from "./compute.js";

class Billing {
  private calls = 0;

  constructor(private readonly server: Server) {
    this.server.setRequestHandler(CallToolRequestSchema, async (request, extra) => {
      this.calls += 1;
      const organization = extra.authInfo?.extra?.organization as { id: string; currency: string };
      const total = await compute(request.params.arguments);
      return { content: [{ type: "text", text: `${total} ${organization.currency}` }] };
    });
  }
}

export const billing = new Billing(new Server({ name: "billing", version: "1.0.0" }, { capabilities: { tools: {} } }));
