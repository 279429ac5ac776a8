"""Speech by Piper, which runs in a helper process.

In the bot's process::

    tts        the provider: its options, and the action that lists the voices
    speech     PiperTTS: turn text into audio and words
    _text      cut text into parts
    _voices    find the files of voices
    _helper    start, share and replace the process

In the helper process::

    worker     take requests and reply with speech
    _words     find the times of words

In both: `_protocol`, the frames between the processes.
"""

# Nothing is imported here, because the helper process imports this package too.
