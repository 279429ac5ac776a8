"""The provider inside a bot, as a client sees it over the protocol."""

from __future__ import annotations

import pytest

from rtvi_plugins import TTS, RequestError, Session, bot
from rtvi_plugins.helper_process import HelperProcess
from rtvi_plugins.session import Say
from rtvi_plugins.testing import connect, host_for, rule_tests
from rtvi_plugins_piper import tts as provider

#: It starts a process of its own for each service.
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-piper")


@bot(services={"tts": "piper"}, client=["tts.voice", "tts.speed", "tts.speaker", "tts:voices", "tts:say"], public=True)
async def reader(session: Session, /, tts: TTS) -> None:
    """Says nothing of its own."""
    async for each in session.inputs():
        if isinstance(each, Say):
            session.send({"said": each.text})


async def test_a_client_lists_voices_and_chooses_one() -> None:
    """The option accepts what the action lists. Another name is refused, and nothing changes."""
    async with connect(reader, provider) as client:
        [voice] = await client.action("tts:voices")
        assert voice == {"voice": "en_US-joe-medium", "language": "en_US", "speakers": []}
        await client.update_config({"tts": {"voice": voice["voice"], "speed": 1.5}})
        with pytest.raises(RequestError, match="unknown voice 'en_US-jo-medium'; did you mean 'en_US-joe-medium'"):
            await client.update_config({"tts": {"voice": "en_US-jo-medium", "speed": 1}})
        with pytest.raises(RequestError, match="unknown speaker of en_US-joe-medium 'ann'"):
            await client.update_config({"tts": {"speaker": "ann"}})
        assert (await client.get_config()).values["tts"]["speed"] == 1.5


async def test_the_process_is_kept_between_sessions() -> None:
    """The second session does not wait for a start of the process. The process ends with the host."""
    processes: list[HelperProcess] = []
    async with host_for(reader, provider):
        for _ in range(2):
            async with provider.piper_tts() as tts:
                process = tts.helper.process
                assert process is not None
                processes.append(process)
        assert not processes[1].exited
    assert processes[0] is processes[1]
    assert processes[0].exited


async def test_a_voice_that_does_not_exist_is_an_error_for_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what is missing. The client learns no path."""
    with pytest.raises(RequestError) as caught:
        async with connect(reader, provider, operator={"service_options": {"piper": {"voices": ["/no/such"]}}}):
            pass
    assert "/no/such" not in str(caught.value)
    assert "'/no/such' is not the path of a folder or of an .onnx file" in caplog.text
