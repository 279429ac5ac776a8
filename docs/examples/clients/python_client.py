import sys

import anyio

from rtvi_plugins_client import connect


async def main(url: str) -> None:
    """Call an action, ask a question, and print the first sentence of the answer."""
    async with connect(url) as client:
        print(await client.action("bot:book_room", nights=2))
        await client.send_text("What is three plus four?")
        async for event in client.events():
            if event.type == "bot-transcription" and "7" in event.data["text"]:
                print(event.data["text"])
                break


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
