"""Trades to bars: one minute by watermark, longer ones rolled up. No I/O, no clock."""
