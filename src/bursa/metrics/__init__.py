"""Metrics (indicators): one file a family, a catalogue of them, one engine that runs them all."""
