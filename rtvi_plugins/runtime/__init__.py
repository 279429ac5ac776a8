"""One live session: it runs operations, keeps services open, plays and receives audio, and ends.

In: a checked start request, operations, the client's audio. Out: messages and audio in order, through the outbox.
May import: `protocol` and whatever that may import; of `voice` only `recording` and `resampling`.
"""
