"""Speech by espeak-ng, which runs in a helper process.

In the bot's process::

    tts          the provider: its options, and the action that lists the voices
    speech       EspeakTTS: turn text into audio and words
    _text        split text into parts, and find its words
    _pieces      turn the replies of the process into audio and words
    _replies     hand the replies from the task that reads them to the task that yields them
    _helper      start, share and replace the process
    _voices      the voices, and which of them a name means

In the helper process, which uses the standard library alone::

    worker       take requests and reply with speech
    _library     call espeak-ng

In both: `_protocol`, the frames between the processes.
"""

# Nothing is imported here, because the helper process imports this package too.
