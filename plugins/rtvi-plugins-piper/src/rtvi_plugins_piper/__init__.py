"""Speech by Piper, which runs in a helper process.

In the bot's process::

    tts        the provider: its options, and the action that lists the voices
    speech     PiperTTS: turn text into audio and words
    _text      cut text into parts
    _voices    find the files of voices
    _helper    the process, which all sessions share

In the helper process::

    worker     speak what is requested
    _words     find the times of words

In both: `_protocol`, their requests and replies.
"""

# Nothing is imported here, because the helper process imports this package too.
