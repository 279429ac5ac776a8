"""Offline speech recognition with Whisper, in threads of this process.

::

    stt           the provider: its options, and one utterance
    _recognisers  the loaded models, which all sessions share, and how many utterances are recognised at once
    _recogniser   one model: audio to text, blocking
    _features     audio to what the model hears
    _text         the model's tokens to text
    _utterance    audio as it comes, cut where it is too long for the model
    _models       find and check the files of a model
"""
