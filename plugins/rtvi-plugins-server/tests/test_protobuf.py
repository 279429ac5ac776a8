"""The codec of binary frames, byte for byte as in the published transport."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtvi_plugins.kinds import Audio
from rtvi_plugins_server import _protobuf
from rtvi_plugins_server._protobuf import Frame, InvalidAudio, InvalidFrame, decode, encode

READY = '{"label":"rtvi-ai","type":"client-ready","id":"1f2e3d4c","data":{}}'


def recorded(moments: bytes, rate: int, channels: int) -> Audio:
    """Return audio with as many samples as there are bytes."""
    return Audio(moments * 2 * channels, rate, channels)


def spoilt(item: str | Audio, at: int, by: int) -> bytes:
    """Return a frame in which one byte is wrong."""
    data = encode(item, 1)
    at %= len(data)
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


ITEMS = st.text(st.characters(exclude_categories=["Cs"])) | st.builds(
    recorded, st.binary(max_size=80), st.integers(8_000, 192_000), st.integers(1, 8)
)
SPOILT = st.builds(spoilt, ITEMS, st.integers(0), st.integers(1, 255))


def made(tag: str, *fields: str) -> str:
    """Return a field that contains fields, all in hexadecimal: its tag, its length, and its content."""
    content = "".join(fields)
    return f"{tag}{len(content) // 2:02x}{content}"


NAME = made("12", b"audio".hex())
PCM = made("1a", "0100ffff")

#: Frames as a client wrote them, field by field, and what they carry.
RECEIVED = [
    pytest.param(made("22", made("0a", READY.encode().hex())), READY, id="message"),
    pytest.param(made("22", made("0a", "c3a9")), "é", id="message in UTF-8"),
    pytest.param(made("22"), "", id="message without its text"),
    pytest.param(
        made("12", NAME, PCM, "20807d", "2801"),
        Audio(b"\x01\x00\xff\xff", 16000),
        id="audio as the published transport writes it, without the id 0",
    ),
    pytest.param(
        made("12", "0807", NAME, PCM, "20c0bb01", "2802", "30ffff03"),
        Audio(b"\x01\x00\xff\xff", 24000, 2),
        id="audio of two channels with every field",
    ),
    pytest.param(made("12", NAME, "20807d", "2801"), Audio(b"", 16000), id="audio of no length"),
    pytest.param(made("0a", "0801", made("1a", "6869")), None, id="text"),
    pytest.param(made("1a", made("1a", "6869"), made("22", "7531"), made("2a", "74")), None, id="transcription"),
    pytest.param(made("2a", "0801"), None, id="interruption"),
    pytest.param(made("32", "666f6f"), None, id="a kind of the future"),
    pytest.param("", None, id="nothing"),
    pytest.param(made("12", "") + made("22", made("0a", "6869")), "hi", id="of two kinds the last counts"),
]


@pytest.mark.parametrize(("sent", "carried"), RECEIVED)
def test_what_a_client_sends_is_read(sent: str, carried: str | Audio | None) -> None:
    """Messages and audio are read unchanged. Other kinds are ignored."""
    assert decode(bytes.fromhex(sent)) == carried


@pytest.mark.parametrize(
    ("item", "written"),
    [
        (READY, made("22", made("0a", READY.encode().hex()))),
        ("é", made("22", made("0a", "c3a9"))),
        (Audio(b"\x01\x00\xff\xff", 24000), made("12", "0807", NAME, PCM, "20c0bb01", "2801")),
    ],
)
def test_what_a_client_is_sent_is_as_it_reads_it(item: str | Audio, written: str) -> None:
    """Audio has its number, the name that the client uses for its own audio, and its rate."""
    assert encode(item, 7).hex() == written


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(READY.encode(), id="JSON"),
        pytest.param(b"\x00\x00\x00\x00", id="bare silence"),
        pytest.param(b"\xff", id="half a number"),
        pytest.param(b"\x22\x45\x0a", id="a frame cut off"),
        pytest.param(b"\x22\x03\x0a\x01\xff", id="a message that is not UTF-8"),
        pytest.param(b"\x12\x02\x12\xff", id="a name that is cut off"),
        pytest.param(b"\x0b" * 5000, id="groups nested without end"),
    ],
)
def test_what_is_no_frame_is_told_apart(sent: bytes) -> None:
    """It raises its own error, because the socket is closed."""
    with pytest.raises(InvalidFrame):
        decode(sent)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ((PCM, "2801"), "its sample_rate is 0; send 8000 to 192000 Hz"),
        ((PCM, "2001", "2801"), "its sample_rate is 1;"),
        ((PCM, "20ffffffff0f", "2801"), "its sample_rate is 4294967295;"),
        ((PCM, "20807d"), "its num_channels is 0; send 1 to 8"),
        ((PCM, "20807d", "2809"), "its num_channels is 9;"),
        ((made("1a", "010001"), "20807d", "2801"), "its 3 bytes are not whole 16-bit samples of 1 channels"),
        ((made("1a", "0100"), "20807d", "2802"), "its 2 bytes are not whole 16-bit samples of 2 channels"),
    ],
)
def test_audio_that_cannot_be_is_refused_with_its_reason(fields: tuple[str, ...], reason: str) -> None:
    """The frame belongs to the protocol, so only its audio is lost."""
    with pytest.raises(InvalidAudio) as refused:
        decode(bytes.fromhex(made("12", *fields)))
    assert str(refused.value).startswith(reason)


# ---- the fast path ---------------------------------------------------------------------------------------------


def by_protobuf(item: str | Audio, number: int, name: str = "audio") -> bytes:
    """Return the same frame, written by the protobuf library."""
    frame = Frame()
    if isinstance(item, str):
        frame.message.data = item
    else:
        frame.audio.id, frame.audio.name = number, name
        frame.audio.audio, frame.audio.sample_rate, frame.audio.num_channels = item.data, item.rate, item.channels
    return bytes(frame.SerializeToString())


@given(ITEMS, st.integers(0, 2**64 - 1))
@example("", 0)
@example(Audio(b"", 8_000), 0)
@example(Audio(bytes(32_768), 24_000), 128)
@example("x" * 16_384, 0)
def test_frames_are_written_as_the_protobuf_library_writes_them(item: str | Audio, number: int) -> None:
    """The bytes are the same for any lengths of numbers and fields."""
    assert encode(item, number) == by_protobuf(item, number)


@given(st.lists(st.tuples(ITEMS, st.integers(0, 3), st.sampled_from(["", "audio", "é"]), st.booleans())))
def test_a_frame_like_an_earlier_one_is_read_as_if_it_were_the_first(
    sent: list[tuple[str | Audio, int, str, bool]],
) -> None:
    """Frames of one length with other rates, channels, names and ids are told apart."""
    for item, number, name, is_spoilt in sent:
        data = by_protobuf(item, number, name)
        if is_spoilt:
            data = data[: len(data) // 2] + data[len(data) // 2 :][::-1]
        assert outcome(data) == outcome(data, forget=True)


def outcome(data: bytes, *, forget: bool = False) -> object:
    """Return the content of a frame, or the kind of its error."""
    if forget:
        _protobuf.__dict__["_known_frames"].clear()
    try:
        return decode(data)
    except (InvalidAudio, InvalidFrame) as error:
        return type(error)


def test_few_earlier_frames_are_remembered() -> None:
    """A client cannot fill the memory with frames of many lengths."""
    for samples in range(1_000):
        decode(by_protobuf(Audio(bytes(2 * samples), 16_000), 0))
    assert len(_protobuf.__dict__["_known_frames"]) <= 32


def test_frames_with_long_names_leave_nothing_behind() -> None:
    """A client cannot fill the memory with names, which are read like others."""
    sent = [by_protobuf(Audio(bytes(2), 16_000), 0, f"{number}" + "n" * 200_000) for number in range(50)]
    decode(sent[0])
    gc.collect()
    tracemalloc.start()
    try:
        assert [decode(each) for each in sent] == [Audio(bytes(2), 16_000)] * 50
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()


@given(ITEMS, st.integers(0, 2**64 - 1))
def test_what_is_written_is_read_again(item: str | Audio, number: int) -> None:
    """Nothing is lost or changed, for any message and any sample rate."""
    assert decode(encode(item, number)) == item


@given(st.binary() | SPOILT)
@example(b"\x08" * 11)
@example(b"\x12\xff\xff\xff\xff\x0f")
def test_no_bytes_break_the_codec(data: bytes) -> None:
    """Any bytes are read as a frame, ignored, or raise one of the two errors."""
    try:
        found = decode(data)
    except (InvalidAudio, InvalidFrame):
        return
    assert found is None or decode(encode(found, 0)) == found
