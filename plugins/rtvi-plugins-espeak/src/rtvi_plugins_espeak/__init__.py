"""Speech by espeak-ng, which runs in a helper process.

In the bot's process::

    tts          the provider: its options, and the action that lists the voices
    speech       EspeakTTS: turn text into audio and words
    _text        split text into parts, and find its words
    _pieces      turn the replies of the process into audio and words
    _replies     hand the replies from the task that reads them to the task that yields them
    _helper      the process, which all sessions share
    _voices      the voices, and which of them a name means

In the helper process, which uses only the standard library::

    worker       speak what is requested
    _library     call espeak-ng

In both: `_protocol`, their requests and replies.
"""

# Nothing is imported here, because the helper process imports this package too.
