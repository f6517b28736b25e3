"""The rows `indicators.*`: the indicator step beside TA-Lib and pandas-ta-classic on the same series."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from metapulse_assets.indicators.bars import Bars
from metapulse_assets.indicators.chain import run_chain
from metapulse_assets.indicators.kernel import compute
from metapulse_assets_tests.benchmarks.rows import Bench, Goal, Part, Row, Target
from metapulse_assets_tests.indicators.series import walk

Series = npt.NDArray[np.float64]

TOKENS, BARS = 1_000, 500
QUICK_TOKENS, QUICK_BARS = 20, 100
RUNS = 9
# pandas-ta-classic is so slow that a part of the tokens must do; the time is scaled to all of them.
PANDAS_TA_TOKENS = 40

METHOD = """
The step is `compute` of `indicators.kernel`: all columns at every bar, guards against dead markets and the continuation state
included, over random walks of 1,000 tokens and 500 bars. TA-Lib is called for one token after the other on contiguous arrays:
RSI, MACD, two SMAs, four EMAs, Bollinger bands, ATR, ADX, both DIs, stochastic, OBV, ROC, momentum; support, resistance, mean
volume and the guards, which the step computes too, are not asked of it. pandas-ta-classic computes the same set with
`talib=False` on 40 of the tokens, scaled to 1,000. Every program runs once before it is timed; the programs take turns, so that
what else the machine does meets all of them.
"""

TARGETS: Mapping[str, Target] = {
    "indicators.vs_talib": Target("the step over a bare TA-Lib loop", Goal("≤", 1.5, "ratio"), peer="TA-Lib"),
    "indicators.vs_pandas_ta": Target("pandas-ta-classic over the step", Goal("≥", 100.0, "ratio"), peer="pandas-ta-classic"),
    "indicators.rows_per_s": Target("candles to rows of `technical_analyses` in memory: bars, step and readings, no database"),
    "indicators.one_bar_45000_s": Target("one new bar of 45,000 tokens from their states, as a tick does it"),
}


def measure(bench: Bench) -> Iterator[Row]:
    """All rows of this part; they are measured together."""
    tokens, bars = (QUICK_TOKENS, QUICK_BARS) if bench.quick else (TOKENS, BARS)
    runs = 2 if bench.quick else RUNS
    series = walk(bars, tokens)
    few = min(PANDAS_TA_TOKENS, tokens)
    by_token = [tuple(np.ascontiguousarray(column) for column in _columns(series, token)) for token in range(tokens)]
    frames = _pandas(by_token[:few])
    bench.say(f"indicators: {runs} rounds of three programs")
    ours, talib, pandas_ta = _in_turns(
        runs,
        lambda: compute(series),
        lambda: [_talib_set(*columns) for columns in by_token],
        lambda: [_pandas_ta_set(*frame) for frame in frames],
    )
    pandas_ta *= tokens / few
    yield Row("indicators.vs_talib", ours, "s", runs, talib, ours / talib)
    yield Row("indicators.vs_pandas_ta", ours, "s", runs, pandas_ta, pandas_ta / ours)
    candles = _flat(series)
    [seconds] = _in_turns(runs, lambda: run_chain(candles, timedelta(minutes=5)))
    yield Row("indicators.rows_per_s", tokens * bars / seconds, "rows/s", runs)
    copies = 45 if not bench.quick else 1
    _, state = compute(series)
    many = type(state)(np.repeat(state.to_matrix(), copies, axis=0))
    newest = Bars(
        **{name: np.repeat(getattr(series, name)[-1:], copies, axis=1) for name in ("open", "high", "low", "close", "volume")},
        gap_before=np.zeros((1, copies * tokens), np.bool_),
        length=np.ones(copies * tokens, np.intp),
    )
    [seconds] = _in_turns(runs, lambda: compute(newest, many))
    yield Row(f"indicators.one_bar_{copies * tokens}_s", seconds, "s", runs)


def _in_turns(runs: int, *programs: Callable[[], Any]) -> list[float]:
    """Median seconds of each program; each runs once unmeasured, then they take turns."""
    seconds: list[list[float]] = [[] for _ in programs]
    for run in range(runs + 1):
        for place, program in enumerate(programs):
            started = time.perf_counter()
            result = program()
            took = time.perf_counter() - started
            del result
            if run:
                seconds[place].append(took)
    return [median(taken) for taken in seconds]


def _columns(series: Bars, token: int) -> tuple[Series, Series, Series, Series]:
    return series.high[:, token], series.low[:, token], series.close[:, token], series.volume[:, token]


def _flat(series: Bars) -> dict[str, npt.NDArray[Any]]:
    """The bars as sorted candles, as they come out of the database."""
    opened_at = np.datetime64("2026-01-01", "us") + np.arange(series.n_bars) * np.timedelta64(5, "m")
    columns = {name: getattr(series, name).T.ravel() for name in ("open", "high", "low", "close")}
    return {
        **columns,
        "volume_usd": series.volume.T.ravel(),
        "token_id": np.repeat(np.arange(series.n_tokens, dtype=np.int32), series.n_bars),
        "opened_at": np.tile(opened_at, series.n_tokens),
        "available_at": np.tile(opened_at + np.timedelta64(5, "m"), series.n_tokens),
    }


def _talib_set(high: Series, low: Series, close: Series, volume: Series) -> tuple[Any, ...]:
    import talib

    # The means inside are simple ones by default.
    return (
        talib.RSI(close, timeperiod=14),
        talib.MACD(close, fastperiod=12, slowperiod=26, signalperiod=9),
        *(talib.SMA(close, timeperiod=period) for period in (20, 50)),
        *(talib.EMA(close, timeperiod=period) for period in (12, 26, 50, 200)),
        talib.BBANDS(close, timeperiod=20, nbdevup=2.0, nbdevdn=2.0),
        talib.ATR(high, low, close, timeperiod=14),
        talib.ADX(high, low, close, timeperiod=14),
        talib.PLUS_DI(high, low, close, timeperiod=14),
        talib.MINUS_DI(high, low, close, timeperiod=14),
        talib.STOCH(high, low, close, fastk_period=14, slowk_period=3, slowd_period=3),
        talib.OBV(close, volume),
        talib.ROC(close, timeperiod=10),
        talib.MOM(close, timeperiod=10),
    )


def _pandas(by_token: list[tuple[Series, ...]]) -> list[tuple[Any, ...]]:
    import pandas as pd

    return [tuple(pd.Series(column) for column in columns) for columns in by_token]


def _pandas_ta_set(high: Any, low: Any, close: Any, volume: Any) -> list[Any]:
    with warnings.catch_warnings(action="ignore"):
        import pandas_ta_classic as ta

        return [
            ta.rsi(close, 14, talib=False),
            ta.macd(close, 12, 26, 9, talib=False),
            *(ta.sma(close, period, talib=False) for period in (20, 50)),
            *(ta.ema(close, period, talib=False) for period in (12, 26, 50, 200)),
            ta.bbands(close, 20, 2.0, ddof=0, talib=False),
            ta.atr(high, low, close, 14, talib=False),
            ta.adx(high, low, close, 14, talib=False),
            ta.stoch(high, low, close, 14, 3, 3, talib=False),
            ta.obv(close, volume, talib=False),
            ta.roc(close, 10, talib=False),
            ta.mom(close, 10, talib=False),
        ]


PART = Part("indicators", METHOD, TARGETS, measure)
