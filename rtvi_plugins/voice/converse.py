"""`converse`: a conversation by an STT, an LLM and a TTS, or by one speech-to-speech model in their place."""

from __future__ import annotations

from typing import Any, cast, overload

from ..errors import AuthorError
from ..kinds import LLM, STT, TTS, VAD, SpeechModel
from ..session import Say, Session
from .filler import Filler
from .markdown import without_markup
from .speech_model_conversation import ModelConversation
from .text_filter import Spoken
from .turn_loop import Conversation
from .turn_taking import TextSource, TurnTaking

__all__ = ("converse",)


@overload
async def converse(
    session: Session,
    /,
    *,
    llm: LLM,
    stt: STT | None = None,
    tts: TTS | None = None,
    vad: VAD | None = None,
    taking: TurnTaking = ...,
    greeting: str | Say = "",
    apology: TextSource = ...,
    spoken: Spoken | None = ...,
    filler: TextSource | Filler = "",
) -> None: ...


@overload
async def converse(
    session: Session,
    /,
    *,
    speech: SpeechModel,
    vad: VAD | None = None,
    taking: TurnTaking = ...,
    greeting: str | Say = "",
    apology: TextSource = ...,
    filler: Filler | str = "",
) -> None: ...


async def converse(
    session: Session,
    /,
    *,
    llm: LLM | None = None,
    stt: STT | None = None,
    tts: TTS | None = None,
    vad: VAD | None = None,
    speech: SpeechModel | None = None,
    taking: TurnTaking = TurnTaking(),  # noqa: B008 - it is frozen
    greeting: str | Say = "",
    apology: TextSource = "I am sorry, something went wrong. Please try again.",
    spoken: Spoken | None = without_markup,
    filler: TextSource | Filler = "",
) -> None:
    """Hold a conversation until the session ends: answer what the user says or writes, and what actions ask for.

    `tts` speaks the answers where the client's transport carries audio; elsewhere they are text. `stt` recognises the
    user's speech: at any time with `vad` or if its vendor finds the utterances, otherwise while the microphone is on
    (push-to-talk). `taking` is the turn-taking policy. The bot says `greeting` first, except in a session for
    single-turn actions; the user cannot interrupt `Say(text, interruptible=False)`. When a provider fails, its turn
    ends, the client gets an `error` that is not fatal, and the conversation continues. In a spoken conversation, the
    bot then says `apology`. In a text conversation, it shows `apology` if the LLM's answer was empty. `spoken` returns
    the text to speak for a sentence that is shown: by default the words without markdown, with None the sentence as it
    is. `filler` is said, or played, while functions of the LLM run, if they take longer than a second, or than its
    `after_seconds`. It does not enter the context. `apology` and `filler` may be functions that return the text each
    time, such as in the user's language.

    `speech` replaces `stt`, `llm` and `tts`: a speech-to-speech model hears the user and answers. Its vendor
    finds when the user speaks; with `vad`, the bot does. The model is asked to say `greeting` and `apology`. `filler`
    can only be a sound, `spoken` and `taking.end_of_turn` are not used.
    """
    if not isinstance(cast(object, greeting), str | Say):
        raise AuthorError(f"converse(greeting={greeting!r}): give a text or a Say.")
    if vad is not None and stt is None and speech is None:
        raise AuthorError("converse(vad=…) has no stt=, so the user is never heard. Pass stt=, or remove vad=.")
    fill = filler if isinstance(filler, Filler) else Filler(filler) if filler else None
    loop: Conversation
    if speech is not None:
        for name, service in (("llm", llm), ("stt", stt), ("tts", tts)):
            if service is not None:
                raise AuthorError(f"converse(speech=…) replaces {name}=. Pass one of them.")
        if fill is not None and fill.sound is None:
            raise AuthorError(
                "converse(speech=…, filler=…): a speech-to-speech model cannot say a sentence while it waits. "
                "Write Filler(sound=…), or prompt the model to say that it looks."
            )
        model: Any = None
        loop = ModelConversation(session, model, None, taking, apology, None, fill, model=speech)
    elif llm is not None:
        loop = Conversation(session, llm, tts, taking, apology, spoken, fill)
    else:
        raise AuthorError("converse(session, …) needs llm=, or speech= with a speech-to-speech model.")
    await loop.run(greeting, stt, vad)
