"""Databento's files."""
