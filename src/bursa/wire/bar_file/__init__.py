"""Files of bars: whose column is which, and what is in it."""
