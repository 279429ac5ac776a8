"""An echo at the server's end of a WebSocket, in place of a session: what each frame costs without our framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtvi_plugins_server._carried import Goodbye

Frame = str | bytes


class EchoFrames:
    """Answers each frame by another, at once."""

    full = False
    goodbye: Goodbye | None = None

    def __init__(self, answer: Callable[[Frame], Frame]) -> None:
        self.on_sendable: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self._answer = answer
        self._answers: list[Frame] = []

    def charge(self, size: int) -> bool:
        return True

    def receive(self, data: Frame) -> None:
        self._answers.append(self._answer(data))
        if self.on_sendable is not None:
            self.on_sendable()

    def take(self) -> Sequence[Frame]:
        answers, self._answers = self._answers, []
        return answers

    def lost(self) -> None:
        self._answers.clear()
