import json
import sys

import anyio
from rtvi_plugins.resuming import HISTORY, SessionStore
from rtvi_plugins.stores import open_store


async def erase(store: SessionStore, user: str) -> int:
    """Delete everything of a user. A session that is live ends. Return the number of sessions."""
    erased = 0
    for session in await store.sessions():
        texts = await store.read(session, [f"{HISTORY}0"]) or {}
        for text in texts.values():
            if json.loads(text)["start"].get("user") == user:
                await store.forget(session)
                erased += 1
    return erased


async def main(target: str, user: str) -> None:
    """Open the store as `rtvi run --resume` does, with the key in the environment."""
    async with open_store(target) as store:
        print(await erase(store, user), "sessions deleted")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
