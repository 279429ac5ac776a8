"""Several processes behind one address: `rtvi run --workers N`.

    control   what the front and a worker write to each other
    front     the parent: accept connections, choose a worker for each, and start workers anew
    worker    a child: serve the connections that the front hands over

The front reads the first line of a request without taking it, and hands the socket itself over. So nothing is copied,
and a message costs what it costs in one process. Each worker has a number K. The address of its WebSocket begins with
`/wK/`, so a client comes back to the process that has its session.
"""
