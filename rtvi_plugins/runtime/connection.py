"""A session as its transport sees it: texts and audio in both directions, and the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import final

import anyio
import anyio.lowlevel
from anyio.abc import ObjectStream

from ..errors import InternalError, RateLimited, RequestError, report
from ..kinds import Audio
from ..session import Session
from ..utils.log_text import logged_session
from ..utils.plugin_calls import reraise_control_flow
from .audio_input import AudioInput
from .outbox import Outbox, texts_in
from .playback import AudioOutput
from .session_end import RESTART
from .session_life import LiveSession

__all__ = ("Connection", "ConnectionStream")

log = logging.getLogger("rtvi_plugins")


@final
class Connection:
    """The connection of one client to its session.

    Pass on what the client sends with `receive` and `receive_audio`; neither blocks nor raises. Send the client what
    `outgoing` or `take` returns. Call `disconnected` when the client is gone. Calls may come from a task or, on
    asyncio, from a plain callback of the event loop.

    `on_end` is called once when `closed` becomes true. Set it if your transport may still be sending then.
    """

    def __init__(self, live: LiveSession, proof: str | None = None) -> None:
        self.id = live.id
        self._live = live
        #: Whether the client has come back on another connection.
        self._replaced = False
        #: Whether the bot's audio is dropped, because this transport takes none. Until `open_audio` is called, there is
        #: audio only if an earlier connection of the session has opened it.
        self._drops_audio = live.parts.turns.audio is not None
        self._on_sendable: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._session, self._parts = live.session, live.parts
        self._protocol, self._end, self._outbox = live.parts.protocol, live.parts.end, live.parts.outbox
        live.connected(self._replace, proof)
        live.on_end = self._ended

    def _replace(self) -> None:
        """End this connection: the client has come back on another one."""
        self._replaced = True
        # An empty one, in place of the session's.
        self._outbox = Outbox(self._protocol, self._parts.shared.limits, lambda: None)
        self._outbox.close()
        self._outbox.finish()
        if self._on_sendable is not None:
            self._on_sendable()
        self._ended()

    def _ended(self) -> None:
        if self.on_end is not None:
            self.on_end()

    @property
    def session(self) -> Session:
        """Return the session, as the bot sees it."""
        return self._session

    def report_functions(self) -> None:
        """Send the client the arguments of the functions that the bot runs, which it does not see otherwise.

        Use it for clients that observe a bot. They receive the message with which the bot asks a client to run a
        function, so a client that has a function of this name would run it too.
        """
        self._parts.reports_functions = True

    # ---- from the client -------------------------------------------------------------------------------------------

    def receive(self, text: str) -> None:
        """Take a text from the client. Every request in it gets exactly one answer."""
        live, protocol = self._live, self._protocol
        if self._outbox.closed:
            return
        self._end.last_received = now = live.clock.now()
        before = logged_session.set(live.id)
        with live.task_context:
            try:
                operation = protocol.receive(text, now)
                if operation is not None:
                    live.execute(operation)
            except BaseException as error:
                reraise_control_flow(error)
                report("the framework", error)
                self._fail(InternalError("The framework failed; please report this."))
            finally:
                logged_session.reset(before)
            if pending := protocol.requests.pending:
                self._end.watch_request(next(reversed(pending.values())))  # the newest request
        if protocol.rate.flooded:
            self._flooded()

    def charge(self, size: int) -> bool:
        """Count a frame of `size` bytes against the client's rate. Call it for every frame, before `receive`.

        Return False when the session has ended, for example because the client sends more than the limits allow.
        """
        if self._outbox.closed:
            return False
        rate = self._protocol.rate
        rate.take_frame(size, self._live.clock.now())
        if rate.flooded:
            self._flooded()
        return not self._outbox.closed

    def _flooded(self) -> None:
        with self._live.task_context:
            self._fail(RateLimited("The client continued sending far more than the session accepts."))

    def _fail(self, error: RequestError) -> None:
        self._end.fail(error)

    # ---- audio -----------------------------------------------------------------------------------------------------

    def open_audio(self, output_rate: int | None, *, on_interrupt: Callable[[], None] = lambda: None) -> None:
        """Turn on audio. Call it before the client's first message is received.

        From now on the bot's audio comes from `outgoing` too: 16-bit mono frames of 20 ms at `output_rate` Hz, in real
        time. With None the bot hears the user, but does not speak. `on_interrupt` is called when the bot is
        interrupted, for a transport that holds frames back.
        """
        parts, outbox, clock = self._parts, self._outbox, self._live.clock
        self._drops_audio = output_rate is None
        if parts.turns.audio is not None and output_rate is not None:  # the client has come back
            parts.turns.audio.use(output_rate, on_interrupt)
        if parts.audio_input is None:
            if output_rate is not None:
                parts.turns.audio = AudioOutput(
                    output_rate, clock, self._session.emit, outbox.put_audio, outbox.discard_audio, on_interrupt
                )
            parts.audio_input = AudioInput(clock, parts.shared.limits.audio_seconds, self._warn)

    def _warn(self, error: RequestError) -> None:
        log.warning("session %s: %s", self.id, error.message, extra={"session": self.id, "code": error.code})
        self._outbox.report(error, fatal=False)

    def receive_audio(self, audio: Audio) -> None:
        """Take audio from the user's microphone, of any rate."""
        live, audio_input = self._live, self._parts.audio_input
        if audio_input is not None and not self._outbox.closed and not self._protocol.rate.in_debt:
            self._end.last_received = live.clock.now()
            with live.task_context:
                audio_input.receive(audio)

    def refuse_audio(self, sentence: str) -> None:
        """Report audio that the transport cannot read, once, to a client that is ready."""
        audio_input = self._parts.audio_input
        if audio_input is not None and not self.closed and self._protocol.ready:
            audio_input.reject("transport", sentence)

    def microphone(self, enabled: bool) -> None:
        """Report that the client switched its microphone on or off, if the transport knows."""
        audio_input = self._parts.audio_input
        if audio_input is not None and not self.closed:
            with self._live.task_context:
                audio_input.microphone(enabled)

    # ---- to the client ---------------------------------------------------------------------------------------------

    async def outgoing(self) -> Sequence[str | Audio]:
        """Wait for what is to be sent next, and return it in order: texts and audio. Empty when the connection ends."""
        items = await self._outbox.take()
        if not self._drops_audio:
            return items
        while items:
            if texts := texts_in(items):
                return texts
            items = await self._outbox.take()
        return ()

    def take(self) -> Sequence[str | Audio]:
        """Return what is to be sent now, in order; empty when there is nothing. See `on_sendable`."""
        items = self._outbox.take_now()
        return texts_in(items) if self._drops_audio else items

    @property
    def on_sendable(self) -> Callable[[], None] | None:
        """Return the function that is called when `take` has something to return, once after each call of `take`.

        It is for a transport without a task that waits in `outgoing`. It is also called when `closed` becomes true.
        """
        return self._on_sendable

    @on_sendable.setter
    def on_sendable(self, callback: Callable[[], None] | None) -> None:
        self._on_sendable = self._outbox.on_sendable = callback

    # ---- the end ---------------------------------------------------------------------------------------------------

    def disconnected(self, *, left: bool = False) -> None:
        """End this connection. The session ends too, unless the client may come back to it.

        `left` says that the client has left on purpose, as far as the transport knows.
        """
        if not self._replaced:
            with self._live.task_context:
                self._live.disconnected(left=left)

    def close(self, reason: str = "", *, now: bool = False) -> None:
        """End the session. See `Session.close`."""
        self._session.close(reason, now=now)

    @property
    def closed(self) -> bool:
        """Return whether the session has ended, or the client has come back on another connection."""
        return self._outbox.finished

    @property
    def closing(self) -> bool:
        """Return whether the session will end after the bot's current speech."""
        return self._session.closing

    @property
    def close_code(self) -> int:
        """The close code of the WebSocket: 1000, 1008, 1011, or 1012 if its process ends or another one continues."""
        return RESTART if self._replaced else self._end.close_code

    @property
    def close_reason(self) -> str:
        """Why it has ended, in words."""
        return "The client has come back on another connection." if self._replaced else self._end.close_reason

    # ---- single-turn requests --------------------------------------------------------------------------------------

    @property
    def single_turn(self) -> bool:
        """Return whether the session ends with the answers to its first requests. See `Session.single_turn`."""
        return self._session.single_turn

    @single_turn.setter
    def single_turn(self, value: bool) -> None:
        self._session.single_turn = value

    @property
    def busy(self) -> bool:
        """Return whether a request is unanswered, a job runs, or speech plays or waits."""
        return self._live.busy

    async def idle(self) -> None:
        """Wait until the bot says nothing and no input waits, or until the session has ended."""
        await self._parts.turns.idle()


class ConnectionStream(ObjectStream[str]):
    """The texts of a connection as a stream, for a client in the same process.

    `on_audio` is called with the bot's audio, in order with the texts. Without it, audio is dropped.
    """

    def __init__(self, connection: Connection, on_audio: Callable[[Audio], None] | None = None) -> None:
        self._connection = connection
        self._on_audio = on_audio
        self._received: list[str] = []

    async def send(self, item: str) -> None:
        if self._connection.closed:
            raise anyio.BrokenResourceError
        self._connection.receive(item)
        await anyio.lowlevel.checkpoint()

    async def receive(self) -> str:
        while not self._received:
            batch = await self._connection.outgoing()
            if not batch:
                raise anyio.EndOfStream
            if self._on_audio is not None:
                for each in batch:
                    if isinstance(each, Audio):
                        self._on_audio(each)
            self._received = [each for each in reversed(batch) if isinstance(each, str)]
        return self._received.pop()

    async def send_eof(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._connection.disconnected()
