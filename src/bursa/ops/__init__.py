"""Telemetry and logs of the process."""
