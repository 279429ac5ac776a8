import sys

import anyio

from rtvi_plugins_client import connect


async def main(url: str) -> None:
    """Call an action, ask a question, and print the answer."""
    async with connect(url) as client:
        print(await client.action("bot:book_room", nights=2))
        print(await client.ask("What is three plus four?"))


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
