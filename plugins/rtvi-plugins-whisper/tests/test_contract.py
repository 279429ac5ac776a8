"""The provider inside a bot, as a client sees it over the protocol."""

from __future__ import annotations

import anyio
import pytest

from rtvi_plugins import STT, RequestError, Session, bot
from rtvi_plugins.testing import connect, rule_tests
from rtvi_plugins_whisper import stt

#: It loads a model for each service.
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-whisper")


@bot(services={"stt": "whisper"}, client=["stt.language", "stt.interim"], public=True)
async def listener(session: Session, /, stt: STT) -> None:
    """Only declares the service."""
    await anyio.sleep_forever()


async def test_a_language_that_the_model_lacks_changes_nothing() -> None:
    """An English model has one language. The error has the possible languages, and the previous value stays."""
    async with connect(listener, stt, operator={"service_options": {"whisper": {"model": "tiny.en"}}}) as client:
        with pytest.raises(RequestError) as caught:
            await client.update_config({"stt": {"language": "de"}})
        assert "language of the model tiny.en" in str(caught.value)
        assert (await client.get_config()).values["stt"]["language"] == "en"


async def test_a_client_cannot_choose_the_model() -> None:
    """A path on the server's disk is a service option, which only the operator sets."""
    async with connect(listener, stt) as client:
        with pytest.raises(RequestError):
            await client.update_config({"stt": {"model": "/etc"}})


async def test_a_model_that_does_not_exist_is_an_error_for_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what is missing. The client learns no path."""
    with pytest.raises(RequestError) as caught:
        async with connect(listener, stt, operator={"service_options": {"whisper": {"model": "/no/such/folder"}}}):
            pass
    assert "/no/such/folder" not in str(caught.value)
    assert "There is no Whisper model '/no/such/folder'" in caplog.text
