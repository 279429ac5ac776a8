"""The SDK of Acme, an invented vendor. Like many SDKs, it starts tasks of asyncio and calls a function with results."""

import asyncio
from collections.abc import Callable


class AcmeError(Exception):
    """Acme refused the request, or the connection broke. `status` is Acme's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Acme answered {status}")
        self.status = status


class Listener:
    """One recognition. It runs in a task of its own."""

    def __init__(self, on_text: Callable[[str, bool], None]) -> None:
        self.closed = False
        self._on_text = on_text
        self._audio: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def send(self, audio: bytes) -> None:
        """Send audio to Acme."""
        if self.closed:
            raise AcmeError(503)
        await self._audio.put(audio)

    async def finish(self) -> None:
        """Wait for the last text."""
        await self._audio.put(None)
        await self._task

    async def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        words = 0
        while (audio := await self._audio.get()) is not None:
            words += len(audio) // 1024
            self._on_text("word " * words, False)
        self._on_text("word " * words, True)


class Acme:
    """A client of Acme."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.listeners: list[Listener] = []

    async def listen(self, language: str, on_text: Callable[[str, bool], None]) -> Listener:
        """Open a connection. `on_text` receives each text, and whether it is final."""
        await asyncio.sleep(0)
        if self.key == "key-that-acme-refuses":
            raise AcmeError(401)
        self.listeners.append(Listener(on_text))
        return self.listeners[-1]
