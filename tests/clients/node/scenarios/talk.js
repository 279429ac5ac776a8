// Typing to a bot, one turn at a time.

/** Types `text` and resolves with the whole answer, which must match `pattern`. */
export async function say(driver, text, pattern) {
  driver.heard.clear();
  await driver.type(text);
  await driver.heard.says(pattern);
  return driver.heard.ends();
}

/** The messages of the conversation so far, as the bot holds them. */
export const messagesOf = async (driver) => (await driver.action("llm", "get_context")).messages;
