"""The journal: every record appended before it is decoded; the truth that all else derives from."""
