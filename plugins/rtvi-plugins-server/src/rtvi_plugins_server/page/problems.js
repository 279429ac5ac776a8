// Problems of a request: find their fields, and write them for people.

const PATH = String.raw`\$(?:\.[\w-]+|\[\d+\]|\["[^"]*"\])*`;

/**
 * Return the problems in an answer, `{path, message, suggestion, service}`. A provider's own check reports them only in
 * a sentence, which names the service and the path of the option.
 */
export function problemsOf({ error = "", details } = {}) {
  const [, service] = /options of (?:the service )?'([^']+)'/.exec(error) ?? [];
  const named = [...String(error).matchAll(new RegExp(`(${PATH}): (.*?)(?=; ${PATH}: |$)`, "gs"))];
  const found = details?.length ? details : named.map(([, path, message]) => ({ path, message }));
  return found.map((each) => ({ ...each, service }));
}

/** Remove the paths from a sentence of the bot. Paths are for programs. */
export function plainly(text) {
  const paths = new RegExp(`(\\. )?${PATH}: (.?)`, "gs");
  return sentenceOf(String(text).replace(paths, (_, stop, next) => (stop ? stop + next.toUpperCase() : next)));
}

/** Return the option of an update that a problem belongs to, `{service, name}`, or null. */
export function optionAt({ path, service }, config) {
  const [, entry, option] = /\.config\[(\d+)\](?:\.options\[(\d+)\])?/.exec(path) ?? [];
  if (entry !== undefined) {
    const found = config[entry];
    return found?.options[option] ? { service: found.service, name: found.options[option].name } : null;
  }
  const name = fromService(path)?.[1];
  const sent = config.filter((each) => each.options.some((one) => one.name === name)).map((each) => each.service);
  const owner = service ?? (sent.length === 1 ? sent[0] : null);
  return name && owner ? { service: owner, name } : null;
}

// A path of a provider begins at the options of its service, as in `$.voice`.
function fromService(path) {
  return /^\$\.data\b/.test(path) ? null : /^\$\.([\w-]+)([.[].+)?$/.exec(path);
}

/** Return the argument that a problem belongs to, or null. Only the message names a missing argument. */
export function argumentAt({ path, message }, names) {
  const [, direct] = /\.arguments\.([^.[]+)/.exec(path) ?? [];
  const [, first] = /^([^\s:]+): /.exec(message) ?? [];
  return [direct, first].find((each) => names.includes(each)) ?? null;
}

/** Return a problem as a sentence for its field, without the field's name. */
export function sentence({ path, message, suggestion }, name) {
  // A problem names its argument, or the service and its option, before a colon.
  const [before, ...rest] = message.split(": ");
  const last = placeOf({ path }).at(-1);
  const named = rest.length && (before === name || before === last || before.endsWith(`.${name}`));
  const hinted = suggestion && !message.includes("did you mean") ? ` Did you mean ${suggestion}?` : "";
  return `${sentenceOf(named ? rest.join(": ") : message)}${hinted}`;
}

/** Return where a problem is inside the value of its field: the names and indices, as in `["items", 2]`. */
export function placeOf({ path }) {
  const within = /(?:\.value|\.arguments(?:\.[^.[]+|\["[^"]*"\]))([.[].+)$/.exec(path)?.[1];
  const inside = within ?? (path.includes(".config[") ? null : fromService(path)?.[2]);
  const keys = [...(inside ?? "").matchAll(/\.([^.[]+)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]/g)];
  return keys.map(([, name, index, quoted]) => (index === undefined ? (name ?? JSON.parse(`"${quoted}"`)) : Number(index)));
}

/** Write a text as a sentence: with a capital letter and a full stop. */
export function sentenceOf(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;
}
