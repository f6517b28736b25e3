"""Tables of the intelligence room."""
