// Requests to the page's own server. Errors are sentences for the user.

import { plainly, problemsOf } from "./problems.js";

const RESUMED_WITHIN = 3000; // ms; a server that has died silently does not answer at all

/** POST JSON to a path beside this page and return the JSON answer. */
export async function postJson(path, body) {
  return sendJson("POST", path, body);
}

/** POST a start. With several server processes, the answer names the one that has the session: return its path too. */
export async function postStart(path, body) {
  const answer = await sendJson("POST", path, body, body.resume && AbortSignal.timeout(RESUMED_WITHIN));
  const url = answer.wsUrl ?? answer.webrtcRequestParams?.endpoint ?? "";
  return { ...answer, process: /\/(w\d+\/)(ws$|webrtc\/)/.exec(url)?.[1] ?? "" };
}

/** Send JSON to a path beside this page. Throws an Error with the server's text. */
export async function sendJson(method, path, body, signal) {
  const request = { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal };
  return answered(fetch(new URL(path, document.baseURI), request));
}

/** GET JSON from a path beside this page. */
export async function getJson(path) {
  return answered(fetch(new URL(path, document.baseURI), { cache: "no-store" }));
}

/** A request that the server refused. `details` lists the problems. */
class Failed extends Error {
  constructor(text, { details, error, retryable }) {
    super(plainly(text));
    this.final = Boolean(error) && !retryable;
    this.details = problemsOf({ error: text, details });
  }
}

async function answered(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Error("The server cannot be reached. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new Failed(body?.info ?? `The server answered with status ${response.status}.`, body ?? {});
  if (body === null) throw new Error("The server's answer is not JSON.");
  return body;
}
