"""Nasdaq TotalView-ITCH 5.0: its messages, order books and trades."""
