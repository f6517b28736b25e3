"""Past days played through from files: recorded candles and posts imported, one backfill, and a report of what came of it."""
