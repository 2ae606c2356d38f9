"""The demo exchange: a program of its own in place of a real one (`python -m bursa.exchange`).

It speaks profile idx-1 over SoupBinTCP on loopback, keeps a market clock of its own, and makes up
its market under a seed. It shares no table and no code with bursa's decoders: what they must read
is written here from the wire's description.

Reading order: tickers (what is listed), ladder and closes (prices), chance (random numbers),
timetable (a day by the clock), market (its state), encode (bytes), books, matching and engine (the
kernels), stream (a day as packets), clock (what time it is there), serve (sockets).
"""
