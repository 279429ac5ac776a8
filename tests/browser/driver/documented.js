// The pages of the documentation, as a reader would serve them. Their packages come from this machine, not from a CDN.

import { readFile } from "node:fs/promises";

import { build } from "esbuild";

/** The address of the bot in these pages. */
export const BOT = "http://127.0.0.1:7860";

/** What these pages load from a CDN. */
export const CDN = "https://esm.sh/**";

const near = (file) => new URL(file, import.meta.url);
const example = (file) => near(`../../../docs/examples/clients/${file}`);

/** Bundle JavaScript with the packages that are installed here. */
export async function bundle(options) {
  const built = await build({
    bundle: true,
    write: false,
    format: "esm",
    logLevel: "error",
    nodePaths: [near("../node_modules").pathname],
    define: { "process.env.NODE_ENV": '"development"' },
    ...options,
  });
  return built.outputFiles[0].contents;
}

/** Answer a request for a package on the CDN, if exactly this version is installed here. */
export async function fromHere(route) {
  const { pathname, searchParams } = new URL(route.request().url());
  const [, name, version] = /^\/(@pipecat-ai\/[\w-]+)@([\d.]+)$/.exec(pathname) ?? [];
  const installed = name && JSON.parse(await readFile(near(`../node_modules/${name}/package.json`))).version;
  if (!name || version !== installed) return route.abort();
  const stdin = { contents: `export * from "${name}"`, resolveDir: near("..").pathname };
  const body = await bundle({ stdin, external: searchParams.getAll("external") });
  const headers = { "access-control-allow-origin": "*" };
  return route.fulfill({ contentType: "text/javascript", body: Buffer.from(body), headers });
}

const REACT_PAGE = `<!doctype html>
<link rel="icon" href="data:," />
<div id="root"></div>
<script type="module" src="/App.js"></script>`;

// As in the template of Vite. In development, React's StrictMode mounts everything twice.
const REACT_MAIN = `
import App from "./App.jsx";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
createRoot(document.getElementById("root")).render(<StrictMode><App /></StrictMode>);`;

/** The files to serve: for each path its type and its contents. */
export async function documented() {
  const stdin = { contents: REACT_MAIN, loader: "jsx", resolveDir: example(".").pathname };
  return {
    "/voice.html": ["text/html", await readFile(example("voice.html"))],
    "/webrtc.html": ["text/html", await readFile(example("webrtc.html"))],
    "/App.jsx": ["text/html", REACT_PAGE],
    "/App.js": ["text/javascript", await bundle({ stdin, jsx: "automatic" })],
  };
}
