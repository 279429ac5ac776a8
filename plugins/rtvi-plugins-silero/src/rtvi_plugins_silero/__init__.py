"""Voice activity detection with the Silero model."""
