"""How MetaPulse is at this moment, part by part."""
