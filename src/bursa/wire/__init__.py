"""Bytes to batches: codecs and layouts of the wire. No I/O, no clock."""
