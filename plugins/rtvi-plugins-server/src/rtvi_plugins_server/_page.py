"""The web page at `/`: its files, and the facts about the bot that it needs before a session starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

from attrs import define, frozen
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from rtvi_plugins.hosting import Host

from .starting import PRIVATE

__all__ = ("Page",)

# `mimetypes` depends on the machine's registry, and with `nosniff` a browser runs a script only with the right type.
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Only the page's own files, and no markup or scripts made from text.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-cache",  # revalidate: after an upgrade, old and new files must not be mixed
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FOLDER: Final = files("rtvi_plugins_server") / "page"
_INDEX: Final = "index.html"
_WEBRTC_START: Final = "/webrtc/start"
#: A bot whose services are all of these kinds needs no microphone.
_TEXT_KINDS: Final = frozenset({"llm"})


@frozen
class _File:
    body: bytes
    headers: Mapping[str, str]


@define(slots=False, eq=False)
class Page:
    """The page of one host. `others` are the routes of plugins, by which it finds the transports."""

    host: Host
    others: Sequence[BaseRoute] = ()

    @property
    def routes(self) -> list[BaseRoute]:
        """The routes, to be added after all others, so that a plugin can have its own page at `/`."""
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/page.json", self.facts, methods=["GET"]),
            Route("/page/{name}", self.file, methods=["GET"]),
        ]

    async def index(self, request: Request) -> Response:
        """Send the page. All its links are relative, so that it works behind a path prefix."""
        return self._serve(request, _INDEX)

    async def file(self, request: Request) -> Response:
        return self._serve(request, request.path_params["name"])

    async def facts(self, request: Request) -> Response:
        """Send what the page needs to start a session; only the name if clients may not start this bot."""
        return JSONResponse(self._facts(), headers={**PRIVATE, "x-content-type-options": "nosniff"})

    def _serve(self, request: Request, name: str) -> Response:
        found = self._files.get(name)
        if found is None:
            raise HTTPException(404)
        if request.headers.get("if-none-match") == found.headers["etag"]:
            return Response(status_code=304, headers=found.headers)
        return Response(found.body, headers=found.headers)

    @cached_property
    def _files(self) -> Mapping[str, _File]:
        """Every file by its name, read once."""
        return {each.name: _file(each.name, each.read_bytes()) for each in _FOLDER.iterdir()}

    # ---- the facts -------------------------------------------------------------------------------------------------

    def _facts(self) -> Mapping[str, Any]:
        bot = self.host.registry.bot
        if not self.host.public:
            return {"name": bot.name, "description": "", "open": False, "transports": [], "services": []}
        services = [each for each in self.host.registry.services.values() if not each.is_own]
        return {
            "name": bot.name,
            "description": bot.doc,
            "open": True,
            "microphone": any(service.kind not in _TEXT_KINDS for service in services),
            "transports": ["websocket", *(["webrtc"] if self._has_webrtc() else [])],
            "services": [{"name": service.name, "kind": service.kind} for service in services],
        }

    def _has_webrtc(self) -> bool:
        scope: Scope = {"type": "http", "method": "POST", "path": _WEBRTC_START, "root_path": "", "headers": []}
        return any(route.matches(scope)[0] is Match.FULL for route in self.others)


def _file(name: str, body: bytes) -> _File:
    kind = _TYPES[name[name.rindex(".") :]]
    return _File(body, {**_HEADERS, "content-type": kind, "etag": f'"{sha256(body).hexdigest()[:24]}"'})
