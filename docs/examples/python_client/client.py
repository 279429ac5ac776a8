import sys

import anyio
from rtvi_plugins import RequestError

from rtvi_plugins_client import connect


async def main(url: str) -> None:
    """Change a bot's config, call its action, and say something to it."""
    async with connect(url, services={"llm": "rules"}) as client:
        config = await client.update_config({"llm": {"name": "Ada"}})
        print("revision", config.revision)

        print(await client.action("bot:book_room", nights=2))
        try:
            await client.action("bot:book_room", nights="two")
        except RequestError as error:
            print(error.code, [problem.path for problem in error.problems])

        await client.send_text("Who are you?")
        async for event in client.events():
            if event.type == "bot-output":
                print(event.data["text"])
            if event.type == "bot-llm-stopped":
                break


anyio.run(main, sys.argv[1])
