// The MCP Inspector's command line, one process for each call.

import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main, plan } from "./neighbours.mjs";

const BIN = fileURLToPath(new URL("../node_modules/.bin/mcp-inspector", import.meta.url));
const TOOL_ERROR = 5;
// It keeps a catalogue of servers and logins at home.
const home = mkdtempSync(join(tmpdir(), "partywall-inspector-"));
const env = { PATH: process.env.PATH, HOME: home };

const connector = (era) => async (url, token) => {
  const fixed = [BIN, "--cli", url, "--transport", "http", "--protocol-era", era, "--format", "json", "--quiet"];
  fixed.push("--stored-auth-only", "--header", `Authorization: Bearer ${token}`);
  const run = (...args) =>
    new Promise((resolve) => {
      execFile(process.execPath, [...fixed, ...args], { env, timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ status: error ? error.code : 0, stdout, stderr });
      });
    });
  // What went wrong stands on standard error, as one line of JSON.
  const failed = ({ status, stderr }) => {
    const { error } = JSON.parse(stderr.trim().split("\n").at(-1));
    return Object.assign(new Error(`exit ${status}: ${error.message}`), { code: error.code });
  };
  // Nothing stays open between calls; what connecting tells is told by listing.
  const listed = await run("--method", "tools/list");
  if (listed.status !== 0) throw failed(listed);
  return {
    listTools: async () => JSON.parse(listed.stdout).result.tools.map(({ name }) => name),
    call: async (name, args) => {
      const done = await run("--method", "tools/call", "--tool-name", name, "--tool-args-json", JSON.stringify(args));
      // A tool's own error comes with its result; one without a result is the protocol's.
      if (done.status !== 0 && !(done.status === TOOL_ERROR && done.stdout)) throw failed(done);
      return JSON.parse(done.stdout).result;
    },
    close: async () => {},
  };
};

// Each call is a process, so one round has to do, and not all of it at once.
plan.rounds = 1;
plan.serial = true;
try {
  await main("inspector", { modern: connector("modern"), legacy: connector("legacy") });
} finally {
  rmSync(home, { recursive: true, force: true });
}
