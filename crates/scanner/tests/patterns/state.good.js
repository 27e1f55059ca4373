import { AsyncLocalStorage } from "node:async_hooks";
import express from "express";
import { loadConfig, handle } from "./config.js";

const configs = new AsyncLocalStorage();
const app = express();

export function config() {
  const found = configs.getStore();
  if (!found) throw new Error("no tenant: the middleware that sets it is missing");
  return found;
}

app.post("/mcp", async (req, res) => {
  const own = await loadConfig(req.auth.extra.tenantId);
  await configs.run(own, () => handle(req, res));
});
