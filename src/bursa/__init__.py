"""bursa: a real-time market-data platform, from the exchange's wire to the screen."""

__version__ = "0.1.0"
