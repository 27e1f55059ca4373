// What a client must see as two tenants at once: its own data in every reply, and nothing of the neighbour's.
//
// A client is a function `connect(url, token)` that gives `{ listTools(), call(tool, args), close() }`. `call` gives
// the result as the client reports it, or throws the error as the client reports it.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const read = (path) => readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");

export const plan = JSON.parse(read("calls.json"));
export const TENANTS = Object.keys(plan.canaries);
const TOOLS = [...new Set([...plan.calls, plan.plant].map(({ tool }) => tool))].sort();

/** The texts of a tenant's seed that say more than a date or a state. */
function seeded(tenant) {
  const strings = [...read(`../../examples/helpdesk/seed/${tenant}.sql`).matchAll(/'((?:[^']|'')*)'/g)];
  return new Set(strings.map(([, text]) => text.replaceAll("''", "'")).filter((text) => text.length > 6));
}

/** Each tenant's canaries: what its data has and the neighbour's has not. */
function findCanaries() {
  const all = new Map(TENANTS.map((tenant) => [tenant, seeded(tenant)]));
  const only = (tenant, text) => TENANTS.every((other) => other === tenant || !all.get(other).has(text));
  const lower = (texts) => texts.map((text) => text.toLowerCase());
  return new Map(
    TENANTS.map((tenant) => {
      const own = [...all.get(tenant)].filter((text) => only(tenant, text));
      assert(own.length >= 20, `${tenant}'s seed has only ${own.length} canaries`);
      return [tenant, lower([...plan.canaries[tenant], ...own])];
    }),
  );
}

export const canaries = findCanaries();

/** A reply's text, without escapes, to look for canaries in. */
function textOf(reply) {
  const text = reply instanceof Error ? `${reply.message} ${JSON.stringify(reply)}` : JSON.stringify(reply);
  return text.replaceAll("\\", "").toLowerCase();
}

/** Fails when a reply has anything of a neighbour, or nothing of the caller's own where it must. */
export function judgeReply(tenant, what, reply, mustTell = true) {
  const text = textOf(reply);
  const seen = (owner) => canaries.get(owner)?.find((canary) => text.includes(canary));
  for (const other of TENANTS.filter((owner) => owner !== tenant)) {
    assert(!seen(other), `${what} as ${tenant} has \`${seen(other)}\`, which is ${other}'s: ${text}`);
  }
  if (mustTell) assert(seen(tenant), `${what} as ${tenant} has nothing of ${tenant}'s: ${text}`);
}

/** One round of all calls: at once, or one by one for a client of which each call is a process. */
async function round(tenant, client) {
  const one = async ({ tool, arguments: args }) => {
    const reply = await client.call(tool, args);
    assert(!reply.isError, `${tool} as ${tenant} failed: ${textOf(reply)}`);
    judgeReply(tenant, tool, reply);
  };
  if (plan.serial) for (const call of plan.calls) await one(call);
  else await Promise.all(plan.calls.map(one));
  return plan.calls.length;
}

/** Adds a comment that nobody else may ever see. */
async function plant(tenant, client) {
  const body = `planted for ${tenant} ${randomUUID()}`;
  canaries.get(tenant).push(body.toLowerCase());
  const { tool, ticket_id } = plan.plant;
  const reply = await client.call(tool, { ticket_id, body });
  assert(!reply.isError, `${tool} as ${tenant} failed: ${textOf(reply)}`);
  judgeReply(tenant, tool, reply, false);
  const ticket = await client.call("get_ticket", { id: ticket_id });
  judgeReply(tenant, "get_ticket", ticket);
  assert(textOf(ticket).includes(body.toLowerCase()), `${tenant}'s own comment is missing: ${textOf(ticket)}`);
  return 2;
}

/** Calls that must be refused, and how. */
async function refusals(tenant, client) {
  for (const { tool, arguments: args, as } of plan.refusals) {
    const outcome = await client.call(tool, args).catch((error) => error);
    const what = `${tool} ${JSON.stringify(args)}`;
    // The Inspector looks the tool up in the list and reports a word of its own.
    const codes = [-32602, "tool_not_found"];
    if (as === "protocol") assert(codes.includes(outcome.code), `${what} as ${tenant}: ${textOf(outcome)}`);
    else assert.equal(outcome.isError, true, `${what} as ${tenant}: ${textOf(outcome)}`);
    judgeReply(tenant, what, outcome, false);
  }
  return plan.refusals.length;
}

/** Tokens that must not connect: no token at all, and one whose signature was changed. */
async function strangers(connect, url, tokens) {
  const [token] = Object.values(tokens);
  const changed = token.slice(0, -8) + (token.at(-8) === "A" ? "B" : "A") + token.slice(-7);
  for (const bad of ["nonsense", changed]) {
    const outcome = await connect(url, bad).then(
      (client) => client.close().then(() => "connected"),
      (error) => error,
    );
    assert(outcome instanceof Error, "a bad token was let in");
    assert.match(`${outcome.name} ${outcome.code} ${outcome.message}`, /401|unauthori[sz]ed/i, "a bad token");
    judgeReply("nobody", "a bad token", outcome, false);
  }
  return 2;
}

async function asTenant(connect, url, tenant, token) {
  const client = await connect(url, token);
  try {
    assert.deepEqual((await client.listTools()).sort(), TOOLS);
    let calls = 1;
    for (let n = 0; n < plan.rounds; n += 1) calls += await round(tenant, client);
    calls += await plant(tenant, client);
    return calls + (await refusals(tenant, client));
  } finally {
    await client.close();
  }
}

/** Runs the plan with each variant of a client and prints one line. The demo's line of JSON is in the first argument's file. */
export async function main(name, variants) {
  const { url, tokens } = JSON.parse(readFileSync(process.argv[2], "utf8"));
  let calls = 0;
  try {
    for (const [variant, connect] of Object.entries(variants)) {
      try {
        const both = TENANTS.map((tenant) => asTenant(connect, url, tenant, tokens[tenant]));
        // Both end before anything is closed, so that one's failure does not hide the other's.
        for (const outcome of await Promise.allSettled(both)) {
          if (outcome.status === "rejected") throw outcome.reason;
          calls += outcome.value;
        }
        calls += await strangers(connect, url, tokens);
        // The demo lets each tenant make 50 calls a second; the next variant finds its allowance full again.
        await new Promise((resolve) => setTimeout(resolve, 1500));
      } catch (error) {
        error.message = `${variant}: ${error.message}`;
        throw error;
      }
    }
    console.log(`client ${name}: ok, ${calls} calls (${Object.keys(variants).join(", ")})`);
  } catch (error) {
    console.error(error);
    console.log(`client ${name}: FAILED: ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
}
