// Programs that do what a form does: as a command for curl, in JavaScript and in Python.

/** Return the programs that call an action, by language. `start` is the body of the start request. */
export function forAction({ service, action, args, start, base }) {
  const data = { service, action, arguments: args };
  const message = { label: "rtvi-ai", type: "action", id: "1", data };
  return {
    curl: command(`${base}/action`, { ...start, actions: [message] }),
    JavaScript: javascript(base, start, `await client.sendClientRequest("action", ${json(data, 2)})`),
    Python: python(base, start, `await client.action(${json(`${service}:${action}`)}, ${literal(args)})`),
  };
}

/** Return the programs that set an option, by language. With curl, it is set for a new session. */
export function forOption({ service, name, value, start, base }) {
  const config = [{ service, options: [{ name, value }] }];
  return {
    curl: `# Start a session with this option.\n${command(`${base}/start`, { ...start, config })}`,
    JavaScript: javascript(base, start, `await client.sendClientRequest("update-config", ${json({ config }, 2)})`),
    Python: python(base, start, `await client.update_config(${literal({ [service]: { [name]: value } })})`),
  };
}

function command(url, body) {
  const quoted = json(body, 0).replaceAll("'", `'\\''`);
  return [
    `curl -X POST '${url}' \\`,
    "  -H 'content-type: application/json' \\",
    "  -H 'accept: application/json' \\",
    `  -d '${quoted}'`,
  ].join("\n");
}

function javascript(base, start, call) {
  const parameters = { endpoint: `${base}/start`, ...(empty(start) ? {} : { requestData: start }) };
  return `// npm install @pipecat-ai/client-js @pipecat-ai/websocket-transport
import { PipecatClient } from "@pipecat-ai/client-js";
import { WavMediaManager, WebSocketTransport } from "@pipecat-ai/websocket-transport";

const client = new PipecatClient({
  transport: new WebSocketTransport({ mediaManager: new WavMediaManager(512, 16000) }),
  enableMic: false,
});
await client.startBotAndConnect(${json(parameters, 2)});
console.log(${call});
await client.disconnect();
`;
}

function python(base, start, call) {
  const { services = {} } = start;
  const chosen = empty(services) ? "" : `, services=${literal(services)}`;
  return `# pip install rtvi-plugins-client
import anyio
from rtvi_plugins_client import connect


async def main() -> None:
    async with connect(${json(base)}${chosen}) as client:
        print(${call})


anyio.run(main)
`;
}

function json(value, indent) {
  return JSON.stringify(value, null, indent);
}

function empty(value) {
  return Object.keys(value).length === 0;
}

/** Return a JSON value as Python writes it. */
export function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object") return json(value);
  const entries = Object.entries(value).map(([name, each]) => `${json(name)}: ${literal(each)}`);
  return `{${entries.join(", ")}}`;
}

/** Return a value that a node accepts, for a form that is not filled in. */
export function exampleOf(node) {
  switch (node.kind) {
    case "switch":
      return true;
    case "choice":
      return node.choices.find((each) => each !== null) ?? null;
    case "number":
      return exampleNumber(node);
    case "text":
      return (node.suggestions?.[0] ?? "text").padEnd(node.minLength ?? 0, "x").slice(0, node.maxLength);
    case "nullable":
      return exampleOf(node.node);
    case "union":
      return exampleOf(node.members[0]);
    case "list":
      return Array.from({ length: Math.max(1, node.minItems ?? 1) }, () => exampleOf(node.item));
    case "tuple":
      return node.items.map(exampleOf);
    case "object":
      return Object.fromEntries(
        node.fields.filter((each) => each.required).map((each) => [each.name, exampleOf(each.node)]),
      );
    case "map":
      return { name: exampleOf(node.value) };
    case "json":
      return node.type === "array" ? [] : {};
    default:
      return null;
  }
}

function exampleNumber({ minimum, above, maximum, below }) {
  const lowest = minimum ?? (above === undefined ? undefined : above + 1);
  const highest = maximum ?? (below === undefined ? undefined : below - 1);
  return lowest ?? Math.min(1, highest ?? 1);
}
