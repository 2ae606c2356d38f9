"""How messages travel: session layers, captures, bodies, and the order of numbers."""
