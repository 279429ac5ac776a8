"""A fake of Acme as a server, so that bot.py works without a key: `python tests/fake_server.py`."""

from __future__ import annotations

from contextlib import suppress

import anyio
from llm_vendor import ROUTES as LLM
from rtvi_plugins_vendor.testing import fake_vendor

PORT = 8123
ROUTES = {**LLM}


async def main() -> None:
    """Serve until it is interrupted."""
    async with fake_vendor(PORT) as vendor:
        for path, script in ROUTES.items():
            vendor.on(path, script)
        print(f"A fake of Acme is at {vendor.url}.")
        await anyio.sleep_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        anyio.run(main)
