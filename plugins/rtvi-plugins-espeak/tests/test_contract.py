"""The provider inside a bot, as a client sees it over the protocol."""

from __future__ import annotations

import pytest

from rtvi_plugins import TTS, RequestError, Session, bot
from rtvi_plugins.session import Say
from rtvi_plugins.testing import connect, rule_tests
from rtvi_plugins_espeak import tts as provider
from rtvi_plugins_espeak.tts import EspeakTTS

#: It starts a process of its own for each service.
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-espeak")


@bot(services={"tts": "espeak"}, client=["tts.voice", "tts.pitch", "tts:voices", "tts:say"])
async def reader(session: Session, /, tts: TTS) -> None:
    """Says nothing of its own."""
    async for each in session.inputs():
        if isinstance(each, Say):
            session.send({"said": each.text})


async def test_a_client_finds_a_voice_and_chooses_it() -> None:
    """The option accepts what the action lists."""
    async with connect(reader, provider) as client:
        listed = await client.action("tts:voices", language="de")
        assert [voice["voice"] for voice in listed["voices"]] == ["de"]
        assert "f3" in listed["variants"]
        config = await client.update_config({"tts": {"voice": "de+f3"}})
    assert config.values["tts"]["voice"] == "de+f3"


async def test_an_unknown_voice_is_refused_and_changes_nothing() -> None:
    """The client gets the most similar name."""
    async with connect(reader, provider) as client:
        with pytest.raises(RequestError, match="unknown voice 'en-uss'; did you mean 'en-us'"):
            await client.update_config({"tts": {"voice": "en-uss", "pitch": 10}})
        values = (await client.get_config()).values["tts"]
    assert (values["voice"], values["pitch"]) == ("en-us", 50)


async def test_every_voice_that_is_suggested_is_there(tts: EspeakTTS) -> None:
    """This includes a name with a variant."""
    async with connect(reader, provider) as client:
        described = await client.describe_config()
    (voice,) = (option for service in described for option in service["options"] if option["name"] == "voice")
    suggested = voice["schema"]["anyOf"][0]["enum"]
    assert len(suggested) > 10
    assert all(tts.voices.find(name) for name in suggested)


async def test_voices_that_could_not_speak_are_not_listed(tts: EspeakTTS) -> None:
    """There are more than a hundred voices. Those without their dictionary are not among them."""
    names = {voice.voice for voice in tts.voices.voices}
    assert len(names) > 100
    assert not names & {"kaa", "xex"}
