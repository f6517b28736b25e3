"""Candidates for tests: single ones, and random streams crowded enough for every reason to drop one."""

from typing import Any

from hypothesis import strategies as st

from metapulse_assets.signals.candidates import INTERVAL_SECONDS, Candidates, RecentSignals
from metapulse_assets.signals.technical import RULES

# A start of a UTC day, so that candles of every timeframe begin there.
START = 20_000 * 86_400.0
DIRECTION = {rule.name: rule.direction for rule in RULES}

Row = dict[str, Any]


def candidate(**change: Any) -> Row:
    """One fresh candidate, known 20 s after its candle's close unless told otherwise."""
    row: Row = {
        "token_id": 1,
        "timeframe": "5m",
        "rule": "rsi_oversold",
        "strength": 0.5,
        "confidence": 0.5,
        "price_usd": 100.0,
        "atr_usd": 2.0,
        "opened_at": START,
        "inputs": {"rsi_14": 25.0},
        **change,
    }
    row.setdefault("direction", DIRECTION.get(row["rule"], "buy"))
    row.setdefault("available_at", row["opened_at"] + INTERVAL_SECONDS.get(row["timeframe"], 0) + 20.0)
    return row


def candidates(*rows: Row) -> Candidates:
    """Rows as columns."""
    names = candidate()
    return Candidates.from_columns({name: [row[name] for row in rows] for name in names})


def emitted(*rows: Row) -> RecentSignals:
    """Signals that were emitted for these candidates."""
    return RecentSignals.from_columns(
        {
            "kind": ["technical"] * len(rows),
            "emitted_at": [row["available_at"] for row in rows],
            **{name: [row[name] for row in rows] for name in ("token_id", "rule", "direction", "price_usd")},
        }
    )


@st.composite
def _rows(draw: st.DrawFn) -> Row:
    timeframe = draw(st.sampled_from(["5m", "5m", "5m", "1h"]))
    interval = INTERVAL_SECONDS[timeframe]
    return candidate(
        token_id=draw(st.integers(1, 2)),
        timeframe=timeframe,
        rule=draw(st.sampled_from(["rsi_oversold", "momentum_up", "death_cross", "volume_spike_up", "golden_cross",
                                   "resistance_breakout", "support_bounce"])),
        strength=draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
        confidence=draw(st.sampled_from([0.25, 0.5, 1.0])),
        price_usd=draw(st.sampled_from([100.0, 101.0, 102.0, 104.0, 0.0001])),
        atr_usd=draw(st.sampled_from([float("nan"), 0.0, 1e-6, 2.0, 45.0, 60.0])),
        opened_at=START + interval * draw(st.sampled_from([0, 1, 2] if timeframe == "1h" else [0, 1, 11, 11, 23, 35])),
        available_at=None,
    ) | {"wait": draw(st.sampled_from([0.0, 0.0, 0.0, 60.0, 600.0, 601.0]))}  # fmt: skip


def _dated(row: Row) -> Row:
    wait = row.pop("wait")
    return {**row, "available_at": row["opened_at"] + INTERVAL_SECONDS[row["timeframe"]] + wait}


def _key(row: Row) -> tuple[Any, ...]:
    return (row["token_id"], row["rule"], row["timeframe"], row["opened_at"])


streams = st.lists(_rows(), max_size=40, unique_by=_key).map(lambda rows: [_dated(row) for row in rows])
"""Rows of candidates, in any order."""
