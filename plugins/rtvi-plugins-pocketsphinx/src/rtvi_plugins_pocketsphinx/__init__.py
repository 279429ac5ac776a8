"""Offline speech recognition with PocketSphinx, which runs in helper processes.

::

    stt          the provider: its options, and its action
    _pool        share the workers among all utterances
    _worker      one worker, as an utterance uses it
    _grammar     sentences as a grammar, and which of them was heard
    _dictionary  the words that can be recognised
    _protocol    the frames between the bot's process and a worker
    worker       the program of a worker
"""
