"""The vocabulary: schemas, batches, venues, calendars, timeframes, errors."""
