"""One RTVI message, without I/O: text in, operation out, and the answers as text.

In: a text of the client, a registry, grants. Out: an operation for `runtime` to carry out, or an error to answer with.
May import: `registry` and whatever that may import. Nothing here waits.
"""
