"""The provider inside a bot, as a client sees it over the protocol."""

from __future__ import annotations

import anyio
import pytest

from rtvi_plugins import STT, RequestError, Session, bot
from rtvi_plugins.testing import connect, rule_tests
from rtvi_plugins_pocketsphinx import stt

#: It starts a process of its own for each service.
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

#: What bots rely on, rule by rule.
test_rule = rule_tests("rtvi-plugins-pocketsphinx")


@bot(services={"stt": "pocketsphinx"}, client=["stt.grammar", "stt:can_recognise"], public=True)
async def listener(session: Session, /, stt: STT) -> None:
    """Only declares the service."""
    await anyio.sleep_forever()


async def test_a_grammar_with_an_unknown_word_changes_nothing() -> None:
    """The error has the word and the most similar known one. The previous grammar stays."""
    async with connect(listener, stt) as client:
        await client.update_config({"stt": {"grammar": ["yes", "no"]}})
        with pytest.raises(RequestError) as caught:
            await client.update_config({"stt": {"grammar": ["yes", "a receptionst"]}})
        message = "has words that the dictionary lacks: 'receptionst' (the nearest that it has is 'receptionist')"
        assert [problem.message for problem in caught.value.problems] == [f"stt.grammar: {message}"]
        assert (await client.get_config()).values["stt"]["grammar"] == ["yes", "no"]
        assert await client.action("stt:can_recognise", words=["yes", "yez"]) == {"yes": True, "yez": False}
