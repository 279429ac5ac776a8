// Typing to a bot, one turn at a time.

/** Types `text` and resolves with the whole answer, which must match `pattern`. */
export async function say(driver, text, pattern) {
  driver.heard.clear();
  await driver.type(text);
  await driver.heard.says(pattern);
  return driver.heard.ends();
}

/** How the story ends. */
export const END = /end of the story/;

/** Asks for a long answer, and resolves when it has begun. */
export async function beginStory(driver) {
  driver.heard.clear();
  await driver.type("Tell me a story.");
  await driver.heard.says(/lighthouse/);
}

/** The messages of the conversation so far, as the bot holds them. */
export const messagesOf = async (driver) => (await driver.action("llm", "get_context")).messages;
