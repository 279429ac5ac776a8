"""A uvicorn server with limits for each client, and with its own WebSocket protocol.

::

    server          run the app until a signal ends it, and let sessions finish
    acceptor        accept connections, one at a time
    connections     limits for connections, in total and for each address
    http_guard      check and limit HTTP requests before uvicorn's parser reads them
    http_protocol   uvicorn's HTTP protocol with that guard
    request_rate    delay the requests of an address that sends very many
    chunked_body    find the end of a chunked body
    handshake       ask the app whether to accept a WebSocket
    websocket       the protocol of one WebSocket
    small_reads     read little at once
    frames          read and write the frames of a WebSocket
    keepalive       notice that a client is gone
    writer          write to a WebSocket, and nothing while its client does not read
    asgi_websocket  a WebSocket for ASGI apps of plugins
"""
