"""The parameters of a constructor become keys, service options and options of a provider."""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

import pytest

from rtvi_plugins_livekit.reflect import Parameter, Reflected, reflect

if TYPE_CHECKING:
    from collections.abc import Awaitable

T = TypeVar("T")


class NotGiven:
    """LiveKit's class for an argument that is not given."""


NOT_GIVEN = NotGiven()
NotGivenOr: TypeAlias = T | NotGiven


class Mood(enum.Enum):
    """A choice."""

    GLAD = "glad"
    SAD = "sad"


@dataclasses.dataclass
class Settings:
    """An object of the vendor."""

    speed: float
    volume: float = 1.0


class Voice:
    """A class like those of LiveKit's plugins."""

    def __init__(
        self,
        *,
        model: Literal["small", "large"] | str = "small",
        temperature: NotGivenOr[float] = NOT_GIVEN,
        names: NotGivenOr[list[str]] = NOT_GIVEN,
        mood: Mood = Mood.GLAD,
        settings: Settings | None = None,
        words: tuple[str, ...] | list[str] = ("a", "b"),
        weights: NotGivenOr[list[tuple[str, float]]] = NOT_GIVEN,
        voice: dict[str, Any] | None = {"name": "Ann"},  # noqa: B006 - as a plugin has it
        extra: dict[str, Any] | None = None,
        max_tokens: int | None = None,
        prompt_cache_key: str | None = None,
        turn_timeout_ms: int = 100,
        api_key: NotGivenOr[str] = NOT_GIVEN,
        base_url: str = "https://acme.example",
        server: str = "acme.example:443",
        model_endpoints: NotGivenOr[list[str]] = NOT_GIVEN,
        server_vad: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
        http_options: dict[str, Any] | None = None,
        credentials_file: str | None = None,
        http_session: object = None,
        on_end: Callable[[], None] | None = None,
        on_later: Awaitable[None] | None = None,
        _private: bool = False,
    ) -> None:
        """Speak.

        Args:
            model: The model to use. Defaults to small.
            temperature (float, optional): How freely it answers
            base_url (str): The address
        """


@pytest.fixture
def found() -> Reflected:
    """Return what is read from the class."""
    return reflect(Voice, unset=(NOT_GIVEN,))


def option(found: Reflected, name: str) -> Parameter:
    """Return one option by its name."""
    return next(each for each in found.options if each.name == name)


def test_a_parameter_is_an_option_a_service_option_or_a_key(found: Reflected) -> None:
    """The name decides: addresses and files are for the operator, and keys are secret."""
    assert [each.name for each in found.options] == [
        *("model", "temperature", "names", "mood", "settings", "words", "weights", "voice", "extra", "max_tokens"),
        *("prompt_cache_key", "turn_timeout_ms", "server_vad"),
    ]
    assert [each.name for each in found.service] == [
        *("base_url", "server", "model_endpoints", "http_options", "credentials_file")
    ]
    assert found.keys == {"api_key": False}  # a file of credentials is another way in


def test_what_json_cannot_carry_is_left_out(found: Reflected) -> None:
    """This includes a type that only type checkers know."""
    assert found.left_out == ["http_session", "on_end", "on_later"]


def test_a_value_that_is_not_given_is_none(found: Reflected) -> None:
    """The option accepts None as well."""
    temperature = option(found, "temperature")
    assert temperature.default is None
    assert type(None) in get_args(get_args(temperature.annotation)[0])


def test_a_default_that_is_no_option_is_none(found: Reflected) -> None:
    """The class then uses it, because None is not passed on."""
    assert option(found, "voice").default is None


def test_documentation_comes_from_the_docstring(found: Reflected) -> None:
    """The documentation is its first sentence, or otherwise the name of the argument."""
    docs = {each.name: each.annotation.__metadata__[0].documentation for each in found.options}
    assert docs["model"] == "The model to use"
    assert docs["temperature"] == "How freely it answers"
    assert docs["mood"] == "The argument 'mood' of the class."


def test_values_are_converted_to_what_the_class_takes(found: Reflected) -> None:
    """Choices, objects and arrays have another form in JSON."""
    assert option(found, "mood").default == "glad"
    assert option(found, "mood").make("sad") is Mood.SAD
    assert option(found, "settings").make({"speed": 2.0}) == Settings(2.0)
    assert option(found, "names").make(("a", "b")) == ["a", "b"]
    assert option(found, "words").default == ("a", "b")
    assert option(found, "weights").make([["Aachen", 2.0]]) == [("Aachen", 2.0)]


def test_arguments_that_a_class_passes_on_are_those_of_its_base() -> None:
    """This is so if every constructor has `**kwargs`."""

    class Child(Voice):
        def __init__(self, *, tone: str = "low", **given: Any) -> None:
            super().__init__(**given)

    assert {"tone", "model"} <= {each.name for each in reflect(Child).options}


def test_one_of_several_keys_may_be_enough() -> None:
    """If a class has other ways to log in, none of its keys is required."""

    class Cloud:
        def __init__(self, *, api_key: str = "", api_secret: str | None = None):
            """Speak."""

    class Account:
        def __init__(self, *, api_key: str = "", credentials_info: dict[str, Any] | None = None):
            """Speak."""

    assert reflect(Cloud).keys == {"api_key": False, "api_secret": False}
    assert reflect(Account).keys == {"api_key": False}


def test_the_variable_of_a_key_is_the_one_that_the_constructor_reads() -> None:
    """LiveKit's plugins have no common form for its name."""

    class Other:
        def __init__(self, *, api_key: str | None = None):
            self.key = api_key or os.environ.get("ACME_KEY")
            self.url = os.getenv("ACME_URL")

    class Either:
        def __init__(self, *, api_key: str | None = None):
            self.key = api_key or os.getenv("ACME_KEY") or os.environ["BIRD_API_KEY"]

    assert reflect(Other).variable == "ACME_KEY"
    assert reflect(Either).variable is None
    assert reflect(Voice).variable is None


def test_a_secret_is_never_an_option() -> None:
    """Clients may read options. A key that is not text cannot be given at all."""

    class Cloud:
        def __init__(
            self,
            *,
            access_key_id: str = "",
            auth_token: str | None = None,
            connection_string: str | None = None,
            credentials_info: dict[str, Any] | None = None,
            password: str = "",
            token: dict[str, str] | None = None,
        ) -> None:
            """Speak."""

    found = reflect(Cloud)
    assert list(found.keys) == ["access_key_id", "auth_token", "connection_string", "password"]
    assert found.left_out == ["credentials_info", "token"]
    assert found.options == found.service == []


def test_what_a_class_passes_on_to_livekit_itself_is_no_option() -> None:
    """Examples are its abilities and its sample rate."""

    class Base:
        __module__ = "livekit.agents.tts"

        def __init__(self, *, capabilities: str, **given: Any) -> None:
            """Speak."""

    class Child(Base):
        def __init__(self, *, tone: str = "low", **given: Any) -> None:
            super().__init__(capabilities="", **given)

    found = reflect(Child)
    assert [each.name for each in found.options] == ["tone"]
    assert found.required == []


def test_an_argument_without_a_default_is_a_service_option_that_must_be_set() -> None:
    """A provider has no other way to ask for it."""

    class Needs:
        def __init__(self, voice_id: str) -> None:
            """Speak."""

    found = reflect(Needs)
    assert (found.required, [each.name for each in found.service]) == (["voice_id"], ["voice_id"])
