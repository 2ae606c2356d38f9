"""The vocabulary: schemas, batches, venues, calendars, timeframes, errors. Imports nothing of ours."""
