"""The rows that selection works on: hits of rules that may become signals, and the signals emitted already.

Belongs here: their columns, and checking them. Does not: any choice between them (`selection`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from metapulse_assets.market.timeframes import TIMEFRAMES

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
StrArray = npt.NDArray[np.str_]

VIEW = "24h"
"""The timeframe of hits that rest on no candle: a view of the day up to a moment, which is both its start and its end."""

INTERVAL_SECONDS: Mapping[str, int] = {**{name: timeframe.seconds for name, timeframe in TIMEFRAMES.items()}, VIEW: 0}
"""From `opened_at` to the end of what a hit rests on: the length of its candle."""

DIRECTIONS = ("buy", "sell")


@dataclass(frozen=True)
class Candidates:
    """Hits of rules that may become signals, one a row, in any order.

    token_id int64; kind, timeframe (5m, 1h, 1d or `VIEW`), rule, direction str; strength, confidence float64 rounded to
    single precision, 0 to 1; price_usd, atr_usd (NaN: unknown) float64; opened_at (start of the candle), available_at
    (when all inputs were usable) float64 seconds since 1970 UTC; inputs: what the rule read, by name.
    Rows are unique by (token_id, kind, rule, timeframe, opened_at).
    """

    token_id: IntArray
    kind: StrArray
    timeframe: StrArray
    rule: StrArray
    direction: StrArray
    strength: FloatArray
    confidence: FloatArray
    price_usd: FloatArray
    atr_usd: FloatArray
    opened_at: FloatArray
    available_at: FloatArray
    inputs: Sequence[Mapping[str, Any]]

    def __len__(self) -> int:
        return int(self.token_id.size)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Self:
        """Checked candidates from columns of the tables of hits, and `kind`: technical where that is not given.

        An atr_usd of None or NaN is unknown.

        Raises KeyError naming a missing column, ValueError naming column and row of a value that cannot be.
        """
        read = _read_columns(columns, _CANDIDATE_COLUMNS)
        rows = read["token_id"].size
        if len(columns["inputs"]) != rows:
            raise ValueError(f"inputs: expected one value for each of {rows} rows, got {len(columns['inputs'])}")
        # The table holds single precision; ranking by anything finer would differ before and after storing.
        for name in ("strength", "confidence"):
            read[name] = read[name].astype(np.float32).astype(np.float64)
            _require(name, (read[name] >= 0) & (read[name] <= 1), read[name], "not within 0 to 1")
        price = read["price_usd"]
        _require("price_usd", (price > 0) & np.isfinite(price), price, "not a price")
        _require("direction", np.isin(read["direction"], DIRECTIONS), read["direction"], "neither buy nor sell")
        known = np.isin(read["timeframe"], list(INTERVAL_SECONDS))
        _require("timeframe", known, read["timeframe"], f"not one of {', '.join(INTERVAL_SECONDS)}")
        kind = np.asarray(columns.get("kind", ["technical"] * rows), dtype=np.str_)
        if kind.shape != (rows,):
            raise ValueError(f"kind: expected one value for each of {rows} rows, got {kind.shape}")
        candidates = cls(kind=kind, inputs=columns["inputs"], **read)
        in_time = candidates.available_at >= candidates.closed_at
        _require("available_at", in_time, candidates.available_at, "before the close of its candle")
        return candidates

    @property
    def interval_seconds(self) -> FloatArray:
        """Length of each row's candle."""
        return by_timeframe(self.timeframe, INTERVAL_SECONDS)

    @property
    def closed_at(self) -> FloatArray:
        """End of each row's candle, seconds since 1970 UTC."""
        return self.opened_at + self.interval_seconds

    def take(self, rows: npt.ArrayLike) -> Self:
        """The rows at these positions, or where this mask is true."""
        where = np.asarray(rows)
        positions = np.arange(len(self))[where].tolist()
        columns = {name: getattr(self, name)[where] for name in self.__dataclass_fields__ if name != "inputs"}
        return type(self)(**columns, inputs=[self.inputs[i] for i in positions])


_CANDIDATE_COLUMNS: Mapping[str, type] = {
    "token_id": np.int64,
    **dict.fromkeys(("timeframe", "rule", "direction"), np.str_),
    **dict.fromkeys(("strength", "confidence", "price_usd", "atr_usd", "opened_at", "available_at"), np.float64),
}


@dataclass(frozen=True)
class RecentSignals:
    """Signals emitted already, in any order. Those from `selection.DUPLICATE_SECONDS` before the first candidate matter.

    token_id int64; kind, rule, direction str; price_usd, emitted_at (seconds since 1970 UTC) float64.
    """

    token_id: IntArray
    kind: StrArray
    rule: StrArray
    direction: StrArray
    price_usd: FloatArray
    emitted_at: FloatArray

    def __len__(self) -> int:
        return int(self.token_id.size)

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any]) -> Self:
        """From columns of `signals`. Raises KeyError naming a missing column, ValueError one of another length."""
        return cls(**_read_columns(columns, _SIGNAL_COLUMNS))

    @classmethod
    def empty(cls) -> Self:
        """Nothing emitted yet."""
        return cls.from_columns(dict.fromkeys(cls.__dataclass_fields__, ()))

    def joined(self, other: "RecentSignals") -> "RecentSignals":
        """Both together."""
        return RecentSignals(
            **{name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__}
        )


_SIGNAL_COLUMNS: Mapping[str, type] = {
    "token_id": np.int64,
    **dict.fromkeys(("kind", "rule", "direction"), np.str_),
    **dict.fromkeys(("price_usd", "emitted_at"), np.float64),
}


def by_timeframe(timeframe: StrArray, seconds: Mapping[str, int]) -> FloatArray:
    """Each row's value for its timeframe; the timeframes must be known."""
    names = np.array(sorted(seconds))
    values = np.array([seconds[name] for name in names.tolist()], dtype=np.float64)
    return values[np.searchsorted(names, timeframe)]


def _read_columns(columns: Mapping[str, Any], dtypes: Mapping[str, type]) -> dict[str, Any]:
    arrays: dict[str, npt.NDArray[Any]] = {name: np.asarray(columns[name], dtype=dtype) for name, dtype in dtypes.items()}
    rows = arrays["token_id"].shape
    for name, column in arrays.items():
        if column.shape != rows:
            raise ValueError(f"{name}: expected one value for each of {rows} rows, got {column.shape}")
    return arrays


def _require(name: str, valid: BoolArray, values: npt.NDArray[Any], problem: str) -> None:
    wrong = np.flatnonzero(~valid)
    if wrong.size:
        raise ValueError(f"{name}: row {wrong[0]} is {values[wrong[0]]}, {problem}")
