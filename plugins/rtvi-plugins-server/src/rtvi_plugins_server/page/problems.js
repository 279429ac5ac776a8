// What was wrong with a request: which field a problem belongs to, and how it is said to people.

const PATH = String.raw`\$(?:\.[\w-]+|\[\d+\]|\["[^"]*"\])*`;

/**
 * The problems that an answer tells of, `{path, message, suggestion, service}`. A provider's own check tells them in a
 * sentence only, which names the service, and the option by a path from there.
 */
export function problemsOf({ error = "", details } = {}) {
  const [, service] = /options of (?:the service )?'([^']+)'/.exec(error) ?? [];
  const told = [...String(error).matchAll(new RegExp(`(${PATH}): (.*?)(?=; ${PATH}: |$)`, "gs"))];
  const found = Array.isArray(details) ? details : told.map(([, path, message]) => ({ path, message }));
  return found.map((each) => ({ ...each, service }));
}

/** A sentence of the bot without the paths in it, which are for programs. */
export function plainly(text) {
  const paths = new RegExp(`(\\. )?${PATH}: (.?)`, "gs");
  return sentenceOf(String(text).replace(paths, (_, stop, next) => (stop ? stop + next.toUpperCase() : next)));
}

/** Which option of an update's config a problem means, `{service, name}`, or null. */
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

/** Which argument of an action a problem means, or null. A missing one is named by its message alone. */
export function argumentAt({ path, message }, names) {
  const [, direct] = /\.arguments\.([^.[]+)/.exec(path) ?? [];
  const [, told] = /^([^\s:]+): /.exec(message) ?? [];
  return [direct, told].find((each) => names.includes(each)) ?? null;
}

/** A problem as it stands beside its field: without the field's name, as a sentence, with the place inside if any. */
export function sentence({ path, message, suggestion }, name) {
  // A problem names its argument, or the service and its option, before a colon.
  const [before, ...rest] = message.split(": ");
  const named = rest.length && (before === name || before.endsWith(`.${name}`));
  const within = /(?:\.value|\.arguments\.[^.[]+)([.[].+)$/.exec(path)?.[1];
  const inside = within ?? (path.includes(".config[") ? null : fromService(path)?.[2]);
  const hinted = suggestion && !message.includes("did you mean") ? ` Did you mean ${suggestion}?` : "";
  return `${sentenceOf(named ? rest.join(": ") : message)}${hinted}${inside ? ` (at ${inside})` : ""}`;
}

function sentenceOf(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? "" : "."}`;
}
