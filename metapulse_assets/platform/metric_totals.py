"""Totals that outlive the processes which count them: what many short runs did, in the table `metric_totals`.

A process counts in a `Tally` and adds it to the table when it has something to say. What reads the totals is in `service/`.
"""

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

# Upper bounds of the ranges that durations are counted in, s; the last range has none. Own choice: a quick answer of a
# vendor takes 50 ms, a language model half a minute.
DURATION_BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Labels = tuple[tuple[str, str], ...]


@dataclass
class Tally:
    """Amounts by metric and labels that no table knows yet."""

    amounts: dict[tuple[str, Labels], float] = field(default_factory=dict)

    def count(self, metric: str, amount: float = 1.0, /, **labels: str) -> None:
        """Add an amount, not below 0."""
        key = (metric, tuple(sorted(labels.items())))
        self.amounts[key] = self.amounts.get(key, 0.0) + amount

    def observe(self, metric: str, seconds: float, **labels: str) -> None:
        """Count a duration in its range (label `le`, as Prometheus names it, each range by itself) and in `<metric>_sum`."""
        self.count(metric, 1.0, le=bound_of(seconds), **labels)
        self.count(f"{metric}_sum", max(seconds, 0.0), **labels)

    def store(self, connection: sa.Connection) -> None:
        """Add everything to the table's totals. Once that is committed, `clear` keeps it from being added again."""
        # In a fixed order: two processes that add to the same rows must not wait for each other in a circle.
        ordered = sorted(self.amounts.items())
        if ordered:
            connection.execute(
                sa.text(_ADD),
                {
                    "metrics": [metric for (metric, _), _ in ordered],
                    "labels": [json.dumps(dict(labels)) for (_, labels), _ in ordered],
                    "amounts": [amount for _, amount in ordered],
                },
            )

    def clear(self) -> None:
        """Begin anew."""
        self.amounts = {}


def bound_of(seconds: float, bounds: Sequence[float] = DURATION_BOUNDS) -> str:
    """The upper bound of the range that a duration belongs to, as Prometheus writes it."""
    place = bisect.bisect_left(bounds, seconds)
    return "+Inf" if place == len(bounds) else str(float(bounds[place]))


_ADD = """
INSERT INTO metric_totals AS t (metric, labels, total)
SELECT metric, labels::jsonb, amount
FROM unnest(CAST(:metrics AS text[]), CAST(:labels AS text[]), CAST(:amounts AS float8[])) AS a (metric, labels, amount)
ON CONFLICT (metric, labels) DO UPDATE SET total = t.total + excluded.total
"""
