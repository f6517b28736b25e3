"""What is measured: one module a part, one line here."""

from metapulse_assets_tests.benchmarks import indicators, storage, tick
from metapulse_assets_tests.benchmarks.rows import Part

PARTS: tuple[Part, ...] = (
    tick.PART,
    indicators.PART,
    storage.PART,
)
