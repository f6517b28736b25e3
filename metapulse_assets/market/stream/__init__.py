"""The stream of launches, migrations and trades: heard, spooled to disk, written to the database."""
