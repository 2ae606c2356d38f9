"""Binance's JSON: messages, rows, a book rebuilt from changes, the ids that were seen."""
