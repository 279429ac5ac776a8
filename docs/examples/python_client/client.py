import sys

import anyio
from rtvi_plugins import RequestError

from rtvi_plugins_client import connect


async def main(url: str) -> None:
    """Set an option, call an action, and ask questions."""
    async with connect(url, services={"llm": "rules"}) as client:
        config = await client.update_config({"llm": {"name": "Ada"}})
        print("revision", config.revision)

        print(await client.action("bot:book_room", nights=2))
        try:
            await client.action("bot:book_room", nights="two")
        except RequestError as error:
            print(error.code, [problem.path for problem in error.problems])

        print(await client.ask("Who are you?"))
        async for piece in client.ask("Who are you?"):
            print(piece, end="|")
        print()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
