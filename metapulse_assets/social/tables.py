"""Tables of the social room."""
