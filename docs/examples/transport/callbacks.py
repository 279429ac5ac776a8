"""A transport in the callbacks of asyncio: each message of the bot is a line."""

import asyncio

from rtvi_plugins.hosting import Connection


def attach(connection: Connection, transport: asyncio.WriteTransport) -> None:
    """Write each message on a line of its own."""

    def send() -> None:
        for item in connection.take():
            if isinstance(item, str):
                transport.write(f"{item}\n".encode())
        if connection.closed:
            transport.close()

    connection.on_sendable = send
    send()  # what was sent before there was a function to call
