"""Measurements: `python -m benchmarks.NAME --json [--quick]`, or all of them by `make bench`."""
