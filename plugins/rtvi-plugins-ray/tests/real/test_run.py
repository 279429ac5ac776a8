"""`rtvi run --on ray`: where workers listen, and the addresses that they announce."""

from __future__ import annotations

import argparse

import pytest

from rtvi_plugins.cli import UsageError
from rtvi_plugins_ray import command

places = command._places  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    ("host", "public_url", "expected"),
    [
        ("127.0.0.1", None, ("127.0.0.1", "http://127.0.0.1:{port}")),
        ("::1", None, ("::1", "http://[::1]:{port}")),
        ("0.0.0.0", None, ("{ip}", "http://{ip}:{port}")),
        ("127.0.0.1", "https://{ip}.bots.example/{port}", ("127.0.0.1", "https://{ip}.bots.example/{port}")),
    ],
)
def test_a_worker_listens_where_its_address_leads(host: str, public_url: str | None, expected: tuple[str, str]) -> None:
    """On one machine as on several, and behind proxies."""
    assert places(host, public_url) == expected


@pytest.mark.parametrize("public_url", ["https://bots.example", "https://{ip}.bots.example", "https://{node}:{port}"])
def test_an_address_of_several_workers_is_refused(public_url: str) -> None:
    """A client must reach the worker that has its session."""
    with pytest.raises(UsageError, match=r"does not lead to one worker.*Write \{port\}"):
        places("0.0.0.0", public_url)


@pytest.mark.parametrize(("name", "value"), [("dev", True), ("record", "calls"), ("service_option", ["llm.key=1"])])
def test_an_option_that_would_do_nothing_is_refused(name: str, value: object) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} does not work with --on ray"):
        command.run(argparse.Namespace(**{name: value}))
