// The server of your application. It forwards a page's start request and adds the secrets.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";

const { BOT_URL = "http://127.0.0.1:7860", PAGE_ORIGIN = "http://localhost:3000", PORT = "8080" } = process.env;
const { RTVI_OPERATOR_SECRET, OPENAI_API_KEY, TOGETHER_API_KEY, SERVICE_OPTIONS = "{}" } = process.env;

// Only the operator may send these fields.
const OPERATOR_FIELDS = {
  api_keys: { openai: OPENAI_API_KEY, together: TOGETHER_API_KEY },
  service_options: JSON.parse(SERVICE_OPTIONS),
};

// A page may send only these fields. The bot trusts all other fields of a request with the secret, so never forward them.
const PAGE_FIELDS = ["services", "config", "actions", "rtvi_client_version"];

const HEADERS = {
  "access-control-allow-origin": PAGE_ORIGIN,
  "access-control-allow-headers": "content-type, cache-control",
  "content-type": "application/json",
};

async function start(request) {
  // Check the user here, for example with a session cookie.
  const body = JSON.parse((await text(request)) || "{}");
  const refused = Object.keys(body).find((name) => !PAGE_FIELDS.includes(name));
  if (refused) return Response.json({ error: "refused", info: `A page may not send ${refused}.` }, { status: 403 });
  return fetch(new URL(request.url, BOT_URL), {
    method: "POST",
    headers: { "content-type": "application/json", "x-rtvi-operator-secret": RTVI_OPERATOR_SECRET },
    body: JSON.stringify({ ...body, ...OPERATOR_FIELDS }),
  });
}

const server = createServer(async (request, response) => {
  try {
    if (request.method === "OPTIONS") return response.writeHead(204, HEADERS).end();
    const known = request.method === "POST" && ["/connect", "/start", "/action"].includes(request.url);
    const answer = known ? await start(request) : Response.json({}, { status: 404 });
    // Forward errors too: their body names the field to correct. The answer of /action comes in pieces.
    response.writeHead(answer.status, { ...HEADERS, "content-type": answer.headers.get("content-type") });
    await pipeline(answer.body, response);
  } catch (error) {
    if (response.headersSent) return; // the page or the bot has disconnected
    const status = error instanceof SyntaxError ? 400 : 502;
    response.writeHead(status, HEADERS).end(JSON.stringify({ error: "refused", info: "The bot cannot be started." }));
  }
});

server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
