"""From candles to rows of `technical_analyses`: each row knows only what was usable when its candle was.

The chain of a UTC day begins a fixed number of days before it (`anchor_of`) and runs to the day's end. So every row depends
on a bounded, known span of candles, and a tick that goes on from a cached state and a backfill that starts at the anchor
give the same bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from metapulse_assets.indicators.analysis import Recommendation, Trend, analyse
from metapulse_assets.indicators.bars import bar_positions, bars_from_rows
from metapulse_assets.indicators.kernel import State, Values, compute
from metapulse_assets.platform.bulk import Array, Columns, to_datetime64
from metapulse_assets.platform.day_partitions import day_start

# The slowest indicator needs 800 candles before it may be used (EMA 200); these spans hold at least that many.
WARM_UP = {"5m": timedelta(days=3), "1h": timedelta(days=34), "1d": timedelta(days=801)}
TREND_LABELS = tuple(trend.label for trend in Trend)
RECOMMENDATION_LABELS = tuple(recommendation.label for recommendation in Recommendation)
STORED_VALUES = (
    *("obv", "rsi_14", "macd", "macd_signal", "sma_20", "sma_50", "ema_12", "ema_26", "ema_50", "ema_200"),
    *("bb_upper", "bb_lower", "atr_14", "adx_14", "plus_di_14", "minus_di_14", "stoch_k", "stoch_d", "roc_10", "mom_10"),
    *("support_20", "resistance_20"),
)
# Tokens whose candles are worked on together: bounds the memory of a rebuild.
TOKENS_AT_A_TIME = 1_000


@dataclass(frozen=True)
class Chain:
    """Rows for the candles that came in time, and where each token's chain stands after its last candle."""

    rows: Columns
    token_ids: Array
    last_opened_at: Array
    state: State


def anchor_of(timeframe: str, day: date) -> datetime:
    """Where the chain of a day begins."""
    return day_start(day) - WARM_UP[timeframe]


def came_late(candles: Columns) -> Array:
    """Which candles (sorted by token and time) became usable only after a newer one of their token."""
    tokens, available = candles["token_id"], candles["available_at"].astype(np.int64)
    in_order = (np.diff(available) >= 0) | (np.diff(tokens) != 0)
    if in_order.all():
        return np.zeros(len(tokens), bool)
    # The earliest availability among the candles after each one: a running minimum from the end, restarted at each token.
    backwards = np.where(
        np.isin(np.arange(len(tokens)), _token_ends(tokens)), np.iinfo(np.int64).max, np.append(available[1:], 0)
    )
    late: Array = available > _running_minimum_backwards(backwards, tokens)
    return late


def split_tokens(candles: Columns, tokens_at_a_time: int = TOKENS_AT_A_TIME) -> Iterator[Columns]:
    """The candles of some tokens at a time."""
    ends = _token_ends(candles["token_id"]) + 1
    start = 0
    for end in [*ends[tokens_at_a_time - 1 : -1 : tokens_at_a_time].tolist(), len(candles["token_id"])]:
        if end > start:
            yield {name: values[start:end] for name, values in candles.items()}
        start = end


def run_chain(
    candles: Columns,
    interval: timedelta,
    state: State | None = None,
    previous: Array | None = None,
    since: datetime | None = None,
) -> Chain:
    """Run the kernel over candles sorted by token and time, in which none came late, and make a row of each.

    `state`, `previous`: where each token's chain stood and its last candle's opening (epoch s), one entry a token. `since`:
    candles opened before it make no row, but lead to those of the others.
    """
    token_ids, index = np.unique(candles["token_id"], return_inverse=True)
    opened = candles["opened_at"].astype(np.int64) / 1e6
    bars = bars_from_rows(
        index,
        opened,
        candles["open"],
        candles["high"],
        candles["low"],
        candles["close"],
        candles["volume_usd"],
        interval.total_seconds(),
        len(token_ids),
        previous,
    )
    values, after = compute(bars, state)
    last = _token_ends(candles["token_id"])
    wanted = _opened_since(candles, since)
    rows = _rows(_pick(candles, wanted), values, bar_positions(index)[wanted], index[wanted])
    return Chain(rows, token_ids, candles["opened_at"][last], after)


def analyse_from_anchor(candles: Columns, interval: timedelta, since: datetime | None = None) -> Chain:
    """Rows for all candles from the anchor on, or of those only that opened later, each using only candles that were usable
    when its own was.

    A candle that came late gives no row: nobody could have acted on it. It takes part in the rows of all candles that became
    usable after it did, or together with it. So there is a pass for each span of time between two late arrivals, in which
    all tokens that had so many are worked on together; the last pass of a token gives its state.
    """
    late = came_late(candles)
    if not late.any():
        return run_chain(candles, interval, since=since)
    turn, turns = _turns(candles, late)
    parts: list[Chain] = []
    for number in range(int(turns.max(initial=0)) + 1):
        takes_part = (turns >= number) & (~late | (turn <= number))
        chain = run_chain(_pick(candles, takes_part), interval, since=since)
        gives_row = (~late & (turn == number))[takes_part & _opened_since(candles, since)]
        finished = np.isin(chain.token_ids, np.unique(candles["token_id"][turns == number]))
        parts.append(
            Chain(
                _pick(chain.rows, gives_row),
                chain.token_ids[finished],
                chain.last_opened_at[finished],
                chain.state.take(np.flatnonzero(finished)),
            )
        )
    return _merge(parts)


def _turns(candles: Columns, late: Array) -> tuple[Array, Array]:
    """For each candle the late arrivals of its token up to when it became usable, and all of that token's.

    A late candle counts as an arrival itself, so it takes part in the passes from its own number on.
    """
    turn, turns = np.zeros(len(late), np.intp), np.zeros(len(late), np.intp)
    ends = _token_ends(candles["token_id"]) + 1
    for start, end in zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True):
        available = candles["available_at"][start:end]
        arrivals = np.unique(available[late[start:end]])
        turn[start:end] = np.searchsorted(arrivals, available, side="right")
        turns[start:end] = len(arrivals)
    return turn, turns


def _rows(candles: Columns, values: Values, place: Array, index: Array) -> Columns:
    flat = values.at(place, index)
    bar_count = values.bar_count[place, index]
    reading = analyse(flat, bar_count)
    with np.errstate(divide="ignore", invalid="ignore"):
        volume_ratio = np.where(flat["volume_mean_20"] > 0, candles["volume_usd"] / flat["volume_mean_20"], np.nan)
    return {
        "token_id": candles["token_id"],
        "opened_at": candles["opened_at"],
        "available_at": candles["available_at"],
        "close": candles["close"],
        "bar_count": bar_count,
        **{name: flat[name] for name in STORED_VALUES},
        "volume_ratio_20": volume_ratio,
        "trend_strength": reading.trend_strength,
        "confidence": reading.confidence,
        "trend": reading.trend,
        "recommendation": reading.recommendation,
    }


def _merge(chains: list[Chain]) -> Chain:
    rows = {name: np.concatenate([chain.rows[name] for chain in chains]) for name in chains[0].rows}
    token_ids = np.concatenate([chain.token_ids for chain in chains])
    state = chains[0].state
    for chain in chains[1:]:
        state = state.concat(chain.state)
    in_order = np.argsort(token_ids)
    return Chain(
        _pick(rows, np.lexsort((rows["opened_at"], rows["token_id"]))),
        token_ids[in_order],
        np.concatenate([chain.last_opened_at for chain in chains])[in_order],
        state.take(in_order),
    )


def _opened_since(candles: Columns, since: datetime | None) -> Array:
    if since is None:
        return np.ones(len(candles["token_id"]), np.bool_)
    chosen: Array = candles["opened_at"] >= to_datetime64(since)
    return chosen


def _pick(columns: Columns, chosen: Array) -> Columns:
    if chosen.dtype == np.bool_ and chosen.all():
        return columns
    return {name: values[chosen] for name, values in columns.items()}


def _token_ends(tokens: Array) -> Array:
    """Position of each token's last row."""
    if not len(tokens):
        return np.empty(0, np.intp)
    return np.append(np.flatnonzero(np.diff(tokens)), len(tokens) - 1)


def _running_minimum_backwards(values: Array, tokens: Array) -> Array:
    """For each row the minimum of `values` from it to its token's last row."""
    result = values.copy()
    ends = _token_ends(tokens)
    start = 0
    for end in ends.tolist():
        result[start : end + 1] = np.minimum.accumulate(values[start : end + 1][::-1])[::-1]
        start = end + 1
    return result
