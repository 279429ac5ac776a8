"""What the bot says or plays while functions run, so that the user does not wait in silence."""

from __future__ import annotations

from typing import Final, cast

from anyio.abc import TaskGroup
from attrs import define, field, frozen

from ..clock import Clock, Deadline
from ..errors import AuthorError
from ..kinds import Audio
from ..session import Turn
from .sentences import Sentences
from .speech_synthesis import SpeechSynthesis
from .turn_taking import TextSource, at_least_0, is_text_source, text_of

__all__ = ("Filler", "Filling")

#: A sound is played in pieces of this length, so that it ends soon after the functions.
_PIECE_SECONDS: Final = 0.1


@frozen
class Filler:
    """What is heard while functions run: a sentence, or a sound that repeats. An invalid value raises `AuthorError`.

    `text` may be a function that returns the sentence; it is called each time, and must not block. An empty text says
    nothing. `after_seconds` is how long the bot must be silent first. A function that ends before causes no filler.
    """

    text: TextSource = ""
    sound: Audio | None = field(default=None, kw_only=True)
    after_seconds: float = field(default=1.0, kw_only=True, validator=at_least_0)

    def __attrs_post_init__(self) -> None:
        text, sound = cast("tuple[object, object]", (self.text, self.sound))
        if not is_text_source(text):
            raise AuthorError(f"Filler({text!r}): give a text, or a function that returns one.")
        if sound is not None and (not isinstance(sound, Audio) or sound.seconds <= 0):
            raise AuthorError(f"Filler(sound={sound!r}): give an Audio that is not empty.")
        if (text == "") is (sound is None):
            raise AuthorError("Filler(…): give a text or a sound, and not both.")


@define(eq=False)
class Filling:
    """Waits for silence during the function calls of one turn, then says the filler once, or plays its sound."""

    filler: Filler
    clock: Clock
    turn: Turn
    synthesis: SpeechSynthesis
    tasks: TaskGroup
    #: How much of the sound was played, in bytes.
    _sound_played: int = 0
    _next_check: Deadline = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next_check = Deadline(self.clock, self._check_silence)
        self._check_after(self.filler.after_seconds)

    def stop(self) -> None:
        """Say and play nothing more: the functions have ended. A sentence that has begun is said to its end."""
        self._next_check.cancel()
        if self._sound_played:
            self.turn.flush()

    def _check_after(self, seconds: float) -> None:
        self._next_check.move(self.clock.now() + seconds)

    def _check_silence(self) -> None:
        unheard = self.turn.given - self.turn.heard
        if self._sound_played:
            self._play_sound()
        elif not self.synthesis.is_made or unheard > 1e-6:
            self._check_after(max(unheard, 0.02) + self.filler.after_seconds)
        elif self.filler.sound is not None:
            self._play_sound()
        elif text := text_of(self.filler.text):
            self._say_filler(text)

    def _say_filler(self, text: str) -> None:
        speech, sentences = self.synthesis.add(self.tasks), Sentences()
        for sentence in (*sentences.feed(text), *sentences.flush()):
            speech.say(sentence)
        speech.end()

    def _play_sound(self) -> None:
        sound = cast(Audio, self.filler.sound)
        frame = 2 * sound.channels
        size, start = frame * max(1, round(_PIECE_SECONDS * sound.rate)), self._sound_played % len(sound.data)
        piece = Audio(sound.data[start : start + size], sound.rate, sound.channels)
        self._sound_played += len(piece.data)
        self.turn.play(piece)
        self._check_after(piece.seconds)
