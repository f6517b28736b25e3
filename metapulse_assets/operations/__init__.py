"""Keeping MetaPulse well: what is kept and for how long, its health, the history of its jobs, and alarms."""
