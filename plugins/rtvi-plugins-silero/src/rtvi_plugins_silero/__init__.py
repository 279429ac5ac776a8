"""The Silero model as the VAD of a voice bot."""
