"""A uvicorn server with limits for each client, and with its own WebSocket protocol.

::

    server          run the app until a signal ends it, and let sessions finish
    acceptor        accept connections, one at a time
    connections     limits for connections and requests, in total and for each address
    small_reads     read little at once
    http_guard      check and limit HTTP requests before uvicorn's parser reads them
    chunked_body    find the end of a chunked body
    handshake       the handshake of a WebSocket, and the WebSockets of plugins' ASGI apps
    websocket       the protocol of the WebSocket of a session
    frames          read and write the frames of a WebSocket
"""
