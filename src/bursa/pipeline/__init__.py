"""From frames to committed rows: the stages of a venue in one line, and the loops that drive it."""
