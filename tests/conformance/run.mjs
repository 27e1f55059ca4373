// Runs the official conformance suite against the fixture server (crates/gateway/examples/conformance.rs).
//
//   node run.mjs SERVER [REVISION…]
//
// What the gateway does not offer stands in expected-failures-REVISION.yaml, each entry with its reason. The suite
// reads that file strictly: a failure that is not listed fails, and so does a listed one that passes.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { startProxy } from "./proxy.mjs";

const SUITE = fileURLToPath(new URL("../node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url));

/** Scenarios that the suite runs without counting them; for us they count. */
const ALSO_REQUIRED = {
  "2026-07-28": ["json-schema-2020-12", "http-header-validation", "http-custom-header-server-validation"],
  "2025-11-25": ["json-schema-2020-12"],
};

/** Starts the fixture server; it stops when its standard input ends, so also when this process does. */
async function startServer(binary) {
  const child = spawn(binary, [], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve, reject) => child.once("error", reject).once("exit", resolve));
  const lines = createInterface({ input: child.stdout });
  const first = new Promise((resolve) => lines.once("line", resolve));
  const line = await Promise.race([first, ended.then((code) => Promise.reject(new Error(`the server ended: ${code}`)))]);
  const stop = () => {
    child.stdin.end();
    return ended;
  };
  return { ...JSON.parse(line), stop };
}

/** Runs the suite's requirement set of a revision and gives its exit code and its output. */
function runSuite(url, revision, output) {
  const baseline = fileURLToPath(new URL(`expected-failures-${revision}.yaml`, import.meta.url));
  const args = [SUITE, "server", "--url", url, "--requirements", revision, "--expected-failures", baseline, "-o", output];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (text += bytes));
  return new Promise((resolve, reject) => {
    child.once("error", reject).once("close", (code) => resolve({ code, text }));
  });
}

/** Every check of a run, with the scenario it belongs to. */
async function readChecks(output) {
  const checks = [];
  for (const folder of await readdir(output)) {
    const [, scenario] = /^server-(.+)-\d{4}-\d{2}-\d{2}T.*$/.exec(folder) ?? [undefined, folder];
    for (const check of JSON.parse(await readFile(join(output, folder, "checks.json"), "utf8"))) {
      checks.push({ scenario, id: check.id, status: check.status, message: check.errorMessage });
    }
  }
  return checks;
}

async function judge(url, revision) {
  const output = await mkdtemp(join(tmpdir(), "partywall-conformance-"));
  try {
    const { code, text } = await runSuite(url, revision, output);
    const checks = await readChecks(output);
    const failed = checks.filter(({ status }) => status === "FAILURE" || status === "WARNING");
    const passed = checks.filter(({ status }) => status === "SUCCESS");
    const also = ALSO_REQUIRED[revision];
    const absent = also.filter((wanted) => !passed.some(({ scenario }) => scenario === wanted));
    const refused = failed.filter(({ scenario }) => also.includes(scenario));
    const good = code === 0 && absent.length === 0 && refused.length === 0 && passed.length > 0;
    if (!good) {
      console.error(text);
      for (const scenario of absent) console.error(`${revision}: ${scenario}: no check passed`);
      for (const { scenario, id, message } of refused) console.error(`${revision}: ${scenario}: ${id}: ${message}`);
    }
    // The suite lists them by scenario or check; what it does not score (extensions) is not among them.
    const expected = text.split("\n").filter((line) => line.startsWith("  ~ ")).length;
    const rest = good ? `${expected} expected failures, ${failed.length - expected} unscored` : `${failed.length} failed`;
    console.log(`conformance ${revision}: ${good ? "ok" : "FAILED"}, ${passed.length} checks passed, ${rest}`);
    return good;
  } finally {
    await rm(output, { recursive: true, force: true });
  }
}

const [binary, ...wanted] = process.argv.slice(2);
if (!binary) {
  console.error("usage: node run.mjs SERVER [REVISION…]");
  process.exit(2);
}
const server = await startServer(binary);
const proxy = await startProxy(server.url, server.token);
try {
  for (const revision of wanted.length > 0 ? wanted : Object.keys(ALSO_REQUIRED)) {
    if (!(await judge(proxy.url, revision))) process.exitCode = 1;
  }
} finally {
  proxy.stop();
  await server.stop();
}
