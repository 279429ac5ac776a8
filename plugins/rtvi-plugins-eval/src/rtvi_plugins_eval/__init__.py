"""Test the behaviour of a bot with the published `pipecat eval`.

Use it with `rtvi run --dev --plugin eval`::

    routes    the WebSocket endpoint /ws, with the form of the harness besides the published ones
    _form     the messages of the harness, as those of a session
"""
