"""Whether it all holds: signals recomputed on data cut at their time, and each one's way back to the bytes it came from."""
