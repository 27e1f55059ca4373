import { createServer, connect, type AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";

// supergateway says nothing when it is ready, and takes no port of the system's choice.
async function free(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.end());
  });

const desk = fileURLToPath(new URL("desk.mjs", import.meta.url));
const port = Number(process.env.PORT) || (await free());
const log = console.log;
process.argv.push("--stdio", `"${process.execPath}" "${desk}"`, "--port", String(port), "--logLevel", "none");
await import("supergateway/dist/index.js");
while (!(await answers(port))) await new Promise((resolve) => setTimeout(resolve, 50));
log(JSON.stringify({ url: `http://127.0.0.1:${port}/sse` }));
