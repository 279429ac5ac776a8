"""The audio of one session: what the user says is bounded, what the bot says is played in real time."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from itertools import pairwise
from math import ceil

import anyio
import pytest
from attrs import Factory, define, field
from hypothesis import given
from hypothesis import strategies as st

from rtvi_plugins import Session, bot
from rtvi_plugins.events import BotStartedSpeaking, BotStoppedSpeaking, Event
from rtvi_plugins.kinds import Audio
from rtvi_plugins.runtime.audio_input import INPUT_RATE, AudioInput
from rtvi_plugins.runtime.playback import FRAME_SECONDS, LEAD_SECONDS, AudioOutput, LivePlayback
from rtvi_plugins.runtime.system_clock import Clock, ManualClock
from rtvi_plugins.session import Listener
from rtvi_plugins.voice import resampling

from ..fakes.providers import samples
from ..fakes.wire import connected, settle

#: The frames that are sent at once: those of the lead, and the one that is due.
AT_ONCE = round(LEAD_SECONDS / FRAME_SECONDS) + 1


@define(eq=False)
class Ear(Listener):
    """A listener that keeps the audio and the microphone events that it gets."""

    heard: list[Audio] = field(factory=list[Audio])
    switched: list[bool] = field(factory=list[bool])

    def hear(self, audio: Audio) -> None:
        self.heard.append(audio)

    def microphone(self, enabled: bool) -> None:
        self.switched.append(enabled)

    @property
    def seconds(self) -> float:
        """The seconds of all audio that it has heard."""
        return sum(each.seconds for each in self.heard)


@define(eq=False)
class Transport:
    """Keeps the frames that are sent, each with the time. `unsent` is how many frames it can still discard."""

    rate: int = 16_000
    clock: ManualClock = field(factory=ManualClock)
    sent: list[tuple[float, bytes]] = field(factory=list[tuple[float, bytes]])
    events: list[Event] = field(factory=list[Event])
    unsent: int = 0
    interrupted: int = 0
    began: float = field(default=Factory(lambda self: self.clock.now(), takes_self=True))

    def output(self) -> AudioOutput:
        """The output of a session's audio, through this transport."""
        return AudioOutput(self.rate, self.clock, self.events.append, self.put, lambda: self.unsent, self.on_interrupt)

    def input(self) -> AudioInput:
        """The input of a session's audio, for this listener."""
        return AudioInput(self.clock, ahead=3.0)

    def on_interrupt(self) -> None:
        """Count the interruptions."""
        self.interrupted += 1

    def put(self, audio: Audio) -> None:
        """Take a frame."""
        assert (audio.rate, audio.channels, len(audio.data)) == (self.rate, 1, 2 * round(self.rate * FRAME_SECONDS))
        self.sent.append((self.clock.now() - self.began, audio.data))

    @property
    def samples(self) -> list[int]:
        """All that was sent."""
        return list(array("h", b"".join(data for _, data in self.sent)))


def playing(rate: int = 16_000) -> tuple[Transport, LivePlayback]:
    """One turn, on a clock that stands still."""
    transport = Transport(rate)
    return transport, LivePlayback(transport.output())


# ---- what is heard of the bot ----------------------------------------------------------------------------------------


def test_frames_are_sent_when_they_are_due_and_a_little_ahead() -> None:
    """The first three frames are sent at once, then one every 20 ms. No frame is sent earlier than the lead allows."""
    transport, playback = playing()
    playback.play(samples(1, 1.0))
    assert len(transport.sent) == AT_ONCE
    transport.clock.advance(2.0)
    times = [seconds for seconds, _ in transport.sent]
    assert len(times) == 50
    assert all(
        index * FRAME_SECONDS - LEAD_SECONDS - 1e-6 <= seconds <= max(0.0, index * FRAME_SECONDS - LEAD_SECONDS) + 0.021
        for index, seconds in enumerate(times)
    )


def test_all_sessions_are_served_at_the_same_moments() -> None:
    """It does not matter when each session began to speak. So the event loop wakes once for all of them."""
    clock = ManualClock()
    for offset in (0.003, 0.011):
        clock.advance(offset)
        transport = Transport(clock=clock)
        playback = LivePlayback(transport.output())
        playback.play(samples(1, 0.5))
        clock.advance(1.0)
        moments = [(transport.began + seconds) / FRAME_SECONDS for seconds, _ in transport.sent[AT_ONCE:]]
        assert all(abs(each - round(each)) < 1e-3 for each in moments)


def test_after_a_pause_there_is_no_catching_up() -> None:
    """The silence has taken time, so the audio after it is not sent faster than at the beginning."""
    transport, playback = playing()
    playback.play(samples(1, 0.1))
    transport.clock.advance(5.0)
    assert len(transport.sent) == 5
    playback.play(samples(2, 1.0))
    assert len(transport.sent) == 5 + AT_ONCE
    transport.clock.advance(0.5)
    assert len(transport.sent) <= 5 + AT_ONCE + 25


class LateClock(Clock):
    """A clock that wakes its timers too late."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 1_000.0003

    def now(self) -> float:
        return self.seconds

    def wake(self, seconds: float) -> None:
        """Set how late the timers are woken."""
        self.seconds = seconds
        self.fire_due()


def test_a_frame_goes_out_at_each_moment_however_late_the_loop_wakes() -> None:
    """There are never two frames at one moment and none at the next, although speech began between the moments."""
    clock, sent = LateClock(), list[Audio]()
    output = AudioOutput(16_000, clock, lambda event: None, sent.append, lambda: 0, lambda: None)
    LivePlayback(output).play(samples(1, 1.0))
    assert len(sent) == AT_ONCE
    for step in range(1, 40):
        clock.wake(1_000.0 + step * FRAME_SECONDS + (0.0001 if step % 3 else 0.007))
        assert len(sent) == AT_ONCE + step


def test_what_was_sent_is_heard_when_its_lead_has_passed() -> None:
    """The whole audio counts as heard, with the silence that fills its last frame, and not a sample more."""
    transport, playback = playing()
    playback.play(samples(1, 1.01))
    assert playback.given == pytest.approx(1.01)
    playback.flush()
    assert playback.heard == pytest.approx(0.0, abs=0.021)
    transport.clock.advance(0.5)
    assert playback.heard == pytest.approx(0.5, abs=0.021)
    transport.clock.advance(5.0)
    assert playback.heard == playback.given == pytest.approx(1.02)
    assert len(transport.sent) == 51


def test_closing_drops_what_was_not_sent() -> None:
    """It drops it at once. Audio that is given afterwards is not heard either."""
    transport, playback = playing()
    playback.play(samples(1, 1.0))
    transport.clock.advance(0.3)
    sent, heard = len(transport.sent), playback.heard
    playback.close()
    playback.play(samples(2, 1.0))
    playback.flush()
    transport.clock.advance(5.0)
    assert len(transport.sent) == sent
    assert playback.heard == pytest.approx(heard)
    assert playback.given == pytest.approx(1.0)
    assert transport.clock.next_due() == float("inf")


def test_frames_that_the_transport_gives_back_were_not_heard() -> None:
    """If a client does not read, it has heard less than was sent to it."""
    transport, playback = playing()
    playback.play(samples(1, 1.0))
    transport.clock.advance(0.5)
    transport.unsent = 10
    playback.close()
    assert playback.heard == pytest.approx(0.5 + 3 * FRAME_SECONDS - 10 * FRAME_SECONDS)
    assert transport.interrupted == 1


def test_frames_that_were_not_due_yet_are_not_counted_twice() -> None:
    """The user would not have heard the last frame yet in any case."""
    transport, playback = playing()
    playback.play(samples(1, 1.0))
    transport.clock.advance(0.5)
    transport.unsent = 1
    heard = playback.heard
    playback.close()
    assert playback.heard == heard == pytest.approx(0.5)


def test_a_transport_that_holds_nothing_of_a_turn_is_not_interrupted() -> None:
    """The user has heard all of the turn."""
    transport, playback = playing()
    playback.play(samples(1, 0.1))
    transport.clock.advance(1.0)
    playback.close()
    assert transport.interrupted == 0


def test_the_client_is_told_once_when_the_bot_begins_and_when_it_stops() -> None:
    """The client is told nothing about a turn without audio."""
    transport, playback = playing()
    playback.close()
    assert transport.events == []
    transport, playback = playing()
    for _ in range(3):
        playback.play(samples(1, 0.1))
        transport.clock.advance(1.0)
    assert transport.events == [BotStartedSpeaking()]
    playback.close()
    playback.close()
    assert transport.events == [BotStartedSpeaking(), BotStoppedSpeaking()]


def test_a_caller_can_ask_how_much_was_heard() -> None:
    """The number grows until the end of the turn."""
    transport, playback = playing()
    reports = list[float]()
    playback.on_heard(reports.append)
    playback.play(samples(1, 0.5))
    transport.clock.advance(2.0)
    assert reports == sorted(reports)
    assert len(reports) >= 20
    assert reports[-1] == pytest.approx(0.5)


def test_whoever_fails_when_it_is_told_is_reported_once_and_the_rest_is_played(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody can discard these frames, so the user hears them."""
    transport, playback = playing()
    reports = list[float]()

    def fail(seconds: float) -> None:
        reports.append(seconds)
        if seconds > 0.1:
            raise ValueError("no time for this")

    playback.on_heard(fail)
    playback.play(samples(1, 0.5))
    with caplog.at_level(logging.ERROR, "rtvi_plugins"):
        transport.clock.advance(2.0)
    assert len(transport.sent) == 25
    assert caplog.messages == ["the callback of on_heard raised ValueError"]
    assert [each for each in reports if each > 0.1] == reports[-1:]


@pytest.mark.anyio
async def test_waiting_for_the_end_lasts_until_all_was_heard() -> None:
    """This includes the lead, and a rest of less than a frame."""
    transport, playback = playing()
    playback.play(samples(1, 0.51))
    over = list[float]()

    async def follow() -> None:
        await playback.played()
        over.append(playback.heard)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        for _ in range(24):
            transport.clock.advance(FRAME_SECONDS)
            await settle()
        assert over == []
        transport.clock.advance(0.1)
    assert over == [pytest.approx(0.52)]


@pytest.mark.anyio
async def test_who_makes_audio_without_end_waits_for_room() -> None:
    """It waits until at most 20 seconds of audio wait to be heard. An interruption ends the wait."""
    transport, playback = playing()
    playback.play(samples(1, 10.0))
    await playback.room()
    playback.play(samples(1, 15.0))
    over = list[float]()

    async def follow() -> None:
        await playback.room()
        over.append(transport.clock.now() - transport.began)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await settle()
        transport.clock.advance(4.0)
        await settle()
        assert over == []
        transport.clock.advance(1.5)
        await settle()
        assert len(over) == 1
        playback.play(samples(1, 30.0))
        tasks.start_soon(follow)
        await settle()
        assert len(over) == 1
        playback.close()


# ---- the bot's audio, as vendors make it -----------------------------------------------------------------------------


@given(cuts=st.lists(st.integers(0, 640 * 3), max_size=8))
def test_audio_may_be_cut_anywhere(cuts: list[int]) -> None:
    """It may also be cut within a sample: the next piece has the rest of the sample."""
    data = array("h", range(960)).tobytes()
    transport, playback = playing()
    places = sorted([0, *cuts, len(data)])
    for start, end in pairwise(places):
        playback.play(Audio(data[start:end], 16_000))
    transport.clock.advance(1.0)
    assert b"".join(frame for _, frame in transport.sent) == data
    assert playback.given == pytest.approx(0.06)


def test_what_is_less_than_a_frame_waits_for_more_or_for_the_end() -> None:
    """At the end, the rest is filled up with silence."""
    transport, playback = playing()
    playback.play(samples(7, 0.03))
    transport.clock.advance(1.0)
    assert len(transport.sent) == 1
    playback.flush()
    transport.clock.advance(1.0)
    assert transport.samples == [7] * 480 + [0] * 160


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 48_000])
def test_audio_of_another_rate_is_resampled(rate: int) -> None:
    """The audio has the same length and loudness as before."""
    transport, playback = playing(16_000)
    playback.play(samples(1_000, 1.0, rate))
    playback.flush()
    transport.clock.advance(2.0)
    assert len(transport.samples) == pytest.approx(16_000, abs=640)
    assert sum(1 for each in transport.samples if abs(each - 1_000) < 50) > 15_000
    assert playback.heard == pytest.approx(1.0)


def test_a_rate_that_changes_loses_nothing() -> None:
    """Samples that one resampler still holds come before those of the next one, and before audio that needs none."""
    transport, playback = playing()
    for rate in (24_000, 16_000, 48_000, 22_050, 16_000):
        playback.play(samples(1_000, 0.2, rate))
    playback.flush()
    transport.clock.advance(3.0)
    assert len(transport.samples) == pytest.approx(16_000, abs=640)
    assert sum(1 for each in transport.samples if each < 500) < 700


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_channels_are_mixed(rate: int) -> None:
    """Half of each channel is heard, wherever the stream is cut."""
    transport, playback = playing(16_000)
    data = array("h", [1_000, 3_000] * round(rate * 0.5)).tobytes()
    for start in range(0, len(data), 1_333):
        playback.play(Audio(data[start : start + 1_333], rate, 2))
    playback.flush()
    transport.clock.advance(1.0)
    assert playback.given == pytest.approx(0.5)
    assert sum(1 for each in transport.samples if abs(each - 2_000) < 100) > 7_500


# ---- what is heard of the user ---------------------------------------------------------------------------------------


def test_audio_as_listeners_take_it_passes_unchanged() -> None:
    """The listener hears it as long as it listens."""
    audio, ear = Transport().input(), Ear()
    audio.receive(samples(1, 0.02))
    with audio.listening(ear):
        audio.receive(samples(2, 0.02))
    audio.receive(samples(3, 0.02))
    assert ear.heard == [samples(2, 0.02)]


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (24_000, 1), (48_000, 2), (48_000, 6)])
def test_audio_of_any_rate_and_channels_is_heard_as_listeners_take_it(rate: int, channels: int) -> None:
    """Listeners get 16 kHz and mono."""
    transport, ear = Transport(), Ear()
    audio = transport.input()
    with audio.listening(ear):
        for _ in range(50):
            audio.receive(Audio(array("h", [1_000] * channels * (rate // 50)).tobytes(), rate, channels))
            transport.clock.advance(0.02)
    assert {(each.rate, each.channels) for each in ear.heard} == {(INPUT_RATE, 1)}
    assert ear.seconds == pytest.approx(1.0, abs=0.1)
    heard = array("h", b"".join(each.data for each in ear.heard))
    assert heard[8_000] == pytest.approx(1_000, abs=20)


def test_one_listener_hears_a_session_at_a_time() -> None:
    """Another one may listen when the first one has stopped."""
    audio, ear = Transport().input(), Ear()
    with audio.listening(Ear()), pytest.raises(RuntimeError, match="hears this session already"):
        audio.listening(Ear()).__enter__()
    with audio.listening(ear):
        audio.receive(samples(1, 0.02))
    assert len(ear.heard) == 1


def test_more_audio_than_time_is_dropped() -> None:
    """A microphone records in real time. A quarter of an hour of audio in one moment is an attack."""
    transport, ear = Transport(), Ear()
    audio = transport.input()
    with audio.listening(ear):
        for _ in range(900):
            audio.receive(samples(1, 1.0))
        assert ear.seconds == pytest.approx(3.0)
        transport.clock.advance(2.0)
        for _ in range(900):
            audio.receive(samples(1, 1.0))
        assert ear.seconds == pytest.approx(5.0)
        audio.receive(samples(1, 60.0))
        assert ear.seconds == pytest.approx(5.0)


def test_nothing_is_lost_of_what_a_network_held_back() -> None:
    """No frame comes for five seconds, and then all of them at once: the microphone has recorded meanwhile."""
    transport, ear = Transport(), Ear()
    audio = transport.input()
    with audio.listening(ear):
        audio.receive(samples(1, 0.02))
        for _ in range(2):
            transport.clock.advance(5.0)
            for _ in range(250):
                audio.receive(samples(1, 0.02))
        assert ear.seconds == pytest.approx(10.02)
        transport.clock.advance(60.0)
        for _ in range(900):
            audio.receive(samples(1, 1.0))
        assert ear.seconds == pytest.approx(10.02 + 10.0 + 3.0)


@pytest.mark.anyio
async def test_audio_with_the_label_of_a_lower_rate_is_reported_once() -> None:
    """The published WavMediaManager records 24 kHz by default, and the transport labels it 16 kHz."""

    @bot(public=True)
    async def listener(session: Session, /) -> None:
        with session.listening(Ear()):
            await anyio.sleep_forever()

    async with connected(listener, audio=24_000) as wire:
        for _ in range(500):
            wire.connection.receive_audio(Audio(bytes(2 * 480), 16_000))  # 20 ms of what is recorded
            wire.clock.advance(0.020)
        await settle()
        (error,) = wire.data_of("error")
        assert (error["code"], error["fatal"]) == ("rate-limited", False)
        assert "16000 Hz" in error["message"]
        assert "new WavMediaManager(512, 16000)" in error["message"]
        assert not wire.connection.closed


def made_resamplers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The rates of the resamplers that are made during the test."""
    made = list[tuple[int, int]]()

    class Counted(resampling.Resampler):
        def __init__(self, rate: int, to_rate: int) -> None:
            made.append((rate, to_rate))
            super().__init__(rate, to_rate)

    monkeypatch.setattr(resampling, "Resampler", Counted)
    return made


def test_rates_that_alternate_share_their_resamplers(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one resampler for each rate, however often the rate changes, because it takes long to make one."""
    made = made_resamplers(monkeypatch)
    audio = Transport().input()
    with audio.listening(Ear()):
        for _ in range(200):
            audio.receive(Audio(b"\1\0", 44_100))
            audio.receive(Audio(b"\1\0", 48_000))
    assert made == [(44_100, INPUT_RATE), (48_000, INPUT_RATE)]


def test_more_rates_than_a_client_has_use_for_are_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rates are still heard."""
    made = made_resamplers(monkeypatch)
    audio, ear = Transport().input(), Ear()
    with audio.listening(ear):
        for rate in range(8_000, 8_500):
            audio.receive(Audio(b"\1\0", rate))
        before = ear.seconds
        audio.receive(samples(1, 0.5, 8_003))
        audio.receive(samples(1, 0.5, 8_300))
    assert len(made) == 4
    assert ear.seconds - before == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("rate", [0, -5])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_rate_that_is_none_is_not_heard(rate: int, channels: int) -> None:
    """The call does not raise either."""
    audio, ear = Transport().input(), Ear()
    with audio.listening(ear):
        audio.receive(Audio(b"\0\0\0\0", rate, channels))
        audio.receive(Audio(b"\0\0", 16_000, 0))
        audio.receive(Audio(b"", 16_000))
    assert ear.heard == []


def test_a_microphone_that_was_switched_off_before_anybody_listened_is_known_to_be() -> None:
    """Clients report it when they connect, before the bot listens."""
    audio, ear = Transport().input(), Ear()
    audio.microphone(False)
    with audio.listening(ear):
        assert ear.switched == [False]
        audio.receive(samples(1, 0.02))
        assert ear.heard == []
        audio.microphone(True)
        audio.receive(samples(1, 0.02))
    assert ear.switched == [False, True]
    assert len(ear.heard) == 1


def test_a_microphone_that_is_on_is_not_told_of() -> None:
    """A listener assumes that the microphone is on."""
    audio, ear = Transport().input(), Ear()
    audio.microphone(False)
    audio.microphone(True)
    with audio.listening(ear):
        assert ear.switched == []


@define(eq=False)
class Deaf(Listener):
    """A listener that raises in each method."""

    def hear(self, audio: Audio) -> None:
        raise ValueError("too loud")

    def microphone(self, enabled: bool) -> None:
        raise ValueError("what microphone?")


def audio_comes(audio: AudioInput) -> None:
    """Send audio of the user."""
    audio.receive(samples(1, 0.02))


def microphone_is_switched(audio: AudioInput) -> None:
    """Switch the microphone off and on."""
    audio.microphone(False)


@pytest.mark.parametrize("tell", [audio_comes, microphone_is_switched])
def test_a_listener_that_fails_is_reported_and_not_raised_into_the_transport(
    tell: Callable[[AudioInput], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Whose connection would be lost."""
    audio = Transport().input()
    with audio.listening(Deaf()), caplog.at_level(logging.ERROR, "rtvi_plugins"):
        tell(audio)
    assert caplog.messages == ["the listener raised ValueError"]


@given(seconds=st.lists(st.floats(0.0, 0.3), max_size=10))
def test_whatever_is_fed_is_sent_whole_and_never_too_soon(seconds: list[float]) -> None:
    """This is true for pieces of any size."""
    transport, playback = playing()
    for each in seconds:
        playback.play(samples(1, each))
        transport.clock.advance(each / 2)
        passed = transport.clock.now() - transport.began
        assert len(transport.sent) <= passed / FRAME_SECONDS + AT_ONCE + 1e-6
    playback.flush()
    transport.clock.advance(10.0)
    assert len(transport.sent) == ceil(playback.given / FRAME_SECONDS - 1e-6)
    assert playback.heard == pytest.approx(playback.given)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_users_audio_is_heard_in_whole_samples(rate: int, caplog: pytest.LogCaptureFixture) -> None:
    """A client that sends half samples does not fill the log."""
    audio, ear = Transport().input(), Ear()
    with audio.listening(ear), caplog.at_level(logging.ERROR, "rtvi_plugins"):
        for _ in range(100):
            audio.receive(Audio(b"\1\0" * 99 + b"\1", rate))
    assert caplog.messages == []
    assert ear.heard != []
    assert all(len(each.data) % 2 == 0 for each in ear.heard)


@pytest.mark.anyio
async def test_a_turn_without_an_output_says_so() -> None:
    """Each method that would have no effect raises."""
    playback = LivePlayback(None)
    attempts: list[Callable[[], None]] = [
        lambda: playback.play(samples(1, 0.1)),
        playback.flush,
        lambda: playback.on_heard(print),
    ]
    for attempt in attempts:
        with pytest.raises(RuntimeError, match="has no audio"):
            attempt()
    with pytest.raises(RuntimeError, match="has no audio"):
        await playback.room()
    await playback.played()
    assert (playback.given, playback.heard) == (0.0, 0.0)
