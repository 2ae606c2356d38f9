"""Reading the past: candles, metric rows, symbols, and what is known to be whole."""
