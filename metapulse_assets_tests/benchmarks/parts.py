"""What is measured: one module a part, one line here."""

from metapulse_assets_tests.benchmarks import (
    indicators,
    injection,
    queue,
    replay,
    risk,
    sentiment,
    service,
    storage,
    stream,
    tick,
)
from metapulse_assets_tests.benchmarks.rows import Part

PARTS: tuple[Part, ...] = (
    tick.PART,
    indicators.PART,
    storage.PART,
    sentiment.PART,
    sentiment.SCAM_PART,
    injection.PART,
    replay.PART,
    risk.PART,
    stream.PART,
    queue.PART,
    service.PART,
)
