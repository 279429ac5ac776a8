// Drives headless Chromium for the tests: a JSON line with an operation in, a JSON line with its outcome out.
//
//   node drive.js CHROMIUM     the first line it prints says where it serves the page of the published clients
//
// In:  {"id": 1, "do": "open", "url": "http://…"}       Out: {"id": 1, "result": …} or {"id": 1, "error": "…"}

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import { chromium } from "playwright-core";

import { BOT, CDN, bundle, documented, fromHere } from "./documented.js";

const FLAGS = [
  "--no-sandbox", // containers give it no user namespaces
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream", // a microphone to be listed; what it hears comes from microphone.js
];
const PERMISSIONS = ["microphone", "clipboard-read", "clipboard-write"];
const SIZE = { width: 1280, height: 900 };

const near = (file) => new URL(file, import.meta.url);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Serve the pages of the published clients and of the documentation at an origin of their own. */
async function serve() {
  const files = {
    "/": ["text/html", await readFile(near("../page/index.html"))],
    "/published.js": ["text/javascript", await bundle({ entryPoints: [near("../page/published.js").pathname] })],
    ...(await documented()),
  };
  const server = createServer(({ url }, answer) => {
    const [type, content] = files[url] ?? [];
    answer.writeHead(type ? 200 : 404, { "content-type": type ?? "text/plain" }).end(content);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${server.address().port}`;
}

const pages = new Map();

const OPERATIONS = {
  /** Open an address in a new browser context. `bot` replaces the address of the bot in pages of the documentation. */
  async open(browser, { url, bot = BOT, size = SIZE, ...options }) {
    const context = await browser.newContext({ viewport: size, permissions: PERMISSIONS, ...options });
    await context.route(CDN, fromHere);
    if (bot !== BOT) {
      await context.route(`${BOT}/**`, (route) => route.continue({ url: route.request().url().replace(BOT, bot) }));
    }
    for (const script of ["microphone.js", "ear.js"]) await context.addInitScript({ path: near(script).pathname });
    const page = await context.newPage();
    const [complaints, printed] = [[], []];
    page.on("pageerror", (error) => complaints.push(String(error.stack ?? error)));
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("console", async (message) => {
      if (message.type() === "log") printed.push(Promise.all(message.args().map((each) => each.jsonValue())));
    });
    page.setDefaultTimeout(20_000);
    await page.goto(url);
    pages.set(pages.size, { page, complaints, printed });
    return pages.size - 1;
  },

  /** Call a function of the page, as in "microphone.speak", and wait for what it promises. */
  call: (_, { page, path, values }) =>
    pages.get(page).page.evaluate(
      ([path, values]) => {
        const parts = path.split(".");
        const owner = parts.slice(0, -1).reduce((found, part) => found[part], window);
        return owner[parts.at(-1)](...values);
      },
      [path, values],
    ),

  /** Do something with an element, by the name of the method of Playwright's Locator. */
  element: (_, { page, selector, method, values }) => pages.get(page).page.locator(selector)[method](...values),

  /** Run a module with the packages that are installed here. The result is what it prints, as lists of values. */
  async run(_, { page: number, source }) {
    const { page, printed } = pages.get(number);
    const code = Buffer.from(await bundle({ stdin: { contents: source, resolveDir: near("..").pathname } })).toString();
    await page.evaluate((code) => import(URL.createObjectURL(new Blob([code], { type: "text/javascript" }))), code);
    return Promise.all(printed.splice(0));
  },

  /** Press a button that saves a file, and return the file's name and text. */
  async download(_, { page: number, selector }) {
    const { page } = pages.get(number);
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator(selector).click()]);
    return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
  },

  screenshot: (_, { page, path }) => pages.get(page).page.screenshot({ path, animations: "disabled" }).then(() => null),

  complaints: (_, { page }) => pages.get(page).complaints,

  close: (_, { page }) => pages.get(page).page.context().close(),
};

async function carryOut(browser, { id, do: name, ...rest }) {
  try {
    say({ id, result: (await OPERATIONS[name](browser, rest)) ?? null });
  } catch (error) {
    say({ id, error: String(error?.stack ?? JSON.stringify(error)) });
  }
}

const browser = await chromium.launch({ executablePath: process.argv[2], headless: true, args: FLAGS });
say({ pages: await serve(), version: browser.version() });
// Operations run side by side: two pages may talk at the same time.
for await (const line of createInterface({ input: process.stdin })) void carryOut(browser, JSON.parse(line));
await browser.close();
process.exit(0);
