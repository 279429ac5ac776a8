"""The RTVI protocol, without I/O.

In: the text of a client's message, a registry, grants. Out: an operation for `runtime`, or the text of an answer.
May import `registry` and everything below it. Nothing here waits.
"""
