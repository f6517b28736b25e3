"""MetaPulse: crypto market data turned into trading signals that can be traced, replayed and scored."""

__version__ = "0.1.0"
