"""A transport with asyncio callbacks. It writes each message of the bot on a line."""

import asyncio

from rtvi_plugins.hosting import Connection


def attach(connection: Connection, transport: asyncio.WriteTransport) -> None:
    """Write each message of the bot on a line."""

    def send() -> None:
        for item in connection.take():
            if isinstance(item, str):
                transport.write(f"{item}\n".encode())
        if connection.closed:
            transport.close()

    connection.on_sendable = send
    send()  # messages that were sent before
