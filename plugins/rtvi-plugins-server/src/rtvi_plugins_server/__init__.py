"""Serve a bot over HTTP and WebSocket: `create_app` for any ASGI server, and the command `rtvi run`.

Public modules::

    app                    create_app: routes, middleware, and the settings of a server
    starting               start a session from an HTTP request; also for routes of plugins
    websocket              the WebSocket endpoint, for plugins with a form of messages of their own
    workers                the workers of `rtvi run --workers`, for routes that answer for all of them
    embedding              serve within an event loop that already runs
    command                the command `rtvi run`

The ASGI app, which runs on any server::

    _endpoints             /connect, /start, /action, /health and /ready
    _single_turn           run the actions of one POST /action in a session of its own
    _websocket_endpoint    /ws: find the session of a token and connect it to the WebSocket
    _websocket_session     a session as WebSocket messages, without I/O
    _protobuf              binary messages: audio and RTVI messages as protobuf frames
    _page, page/           the web page at /
    _middleware, _origins  checks of Host and Origin, CORS, and errors as JSON
    _refusals              the body of a refusal, and the whole response where no app sends it
    _error_responses       the response to a request that failed
    _addresses             the address by which a client is counted

Under `rtvi run`::

    _options               the options of the command line
    _reload                one process that watches the bot's files, and a child that serves
    _workers/              several processes behind one address
    _uvicorn/              the server: how connections are accepted, limited, read and written
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app

__all__ = ("create_app",)


def __getattr__(name: str) -> Any:
    # Imported when it is used, so that `rtvi run --help` is quick: Starlette and the core take most of the time.
    if name == "create_app":
        from .app import create_app

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
