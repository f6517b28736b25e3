"""What every domain stands on: settings, database, vendor policy, dead letters, logs. Nothing here knows a token."""
