import math
import sys

import anyio
from rtvi_plugins import RequestError
from rtvi_plugins.client import Client

from rtvi_plugins_client import connect


async def answer(client: Client, text: str) -> list[str]:
    """Send a text, and return the sentences of the bot's answer."""
    await client.send_text(text)
    events = client.events()
    async for event in events:  # skip events of earlier turns, such as a greeting
        if event.type == "user-llm-text" and event.data["text"].endswith(text):
            break
    async for event in events:
        if event.type == "bot-llm-started":
            break
    sentences, busy = list[str](), 1
    while True:
        # The LLM may call a function and then continue. The answer is complete when both are idle for a moment.
        event = None
        with anyio.move_on_after(math.inf if busy else 0.5):
            event = await anext(events, None)
        if event is None:
            return sentences
        if event.type == "bot-output":
            sentences.append(event.data["text"])
        elif event.type in ("bot-llm-started", "llm-function-call-started"):
            busy += 1
        elif event.type in ("bot-llm-stopped", "llm-function-call-stopped"):
            busy -= 1


async def main(url: str) -> None:
    """Set an option, call an action, and ask a question."""
    async with connect(url, services={"llm": "rules"}) as client:
        config = await client.update_config({"llm": {"name": "Ada"}})
        print("revision", config.revision)

        print(await client.action("bot:book_room", nights=2))
        try:
            await client.action("bot:book_room", nights="two")
        except RequestError as error:
            print(error.code, [problem.path for problem in error.problems])

        for sentence in await answer(client, "Who are you?"):
            print(sentence)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
