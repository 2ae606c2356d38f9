"""Long work on a venue beside its live line: drain, retention, backfill, repair, restore, export,
backup; ordered by a person or the clock, done in pieces that live work precedes."""
