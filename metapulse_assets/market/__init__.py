"""The market: which tokens are tracked, what the vendors say of them, and their candles."""
