"""Bytes to batches: a folder a format, and how messages travel. No I/O, no clock."""
