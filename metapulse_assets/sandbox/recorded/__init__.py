"""Readers of recorded candle files and recorded vendor answers. No HTTP, no clock."""
