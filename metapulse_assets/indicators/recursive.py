"""Indicators whose every value depends on the one before: EMA, MACD, RSI, ATR, ADX with its directions, OBV.

Belongs here: formulas with memory. Does not: windows (`windows`), guards (`guards`).

A mean seeded by a simple mean of p bars needs no second formula: with weight 1/c at its c-th bar, up to p, the step
mean += weight × (x - mean) is that simple mean, and with a constant weight thereafter it is the recursion.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metapulse_assets.indicators.bars import BoolMatrix, FloatArray, FloatMatrix
from metapulse_assets.indicators.guards import CountMatrix, Series
from metapulse_assets.indicators.state import BAR_COUNT, CHAIN, CHAINS, CLOSES, HIGHS, LOWS

_EMAS = slice(0, 4)
_WILDER = slice(4, 9)
_SECOND = slice(9, 11)
_OBV = 11
_GAIN, _LOSS, _TRUE_RANGE, _PLUS, _MINUS = range(5)

_LAST_WARMING_COUNT = 200
"""The longest seed (EMA 200): from the next bar on every weight is constant."""

_ELEMENTS_AT_A_TIME = 16_384
"""Numbers of one matrix worked on together, so that the inputs of a few bars stay in the processor's cache."""


def _weights(first_bar: int, period: int, constant: float) -> FloatArray:
    """Weight by bar count: 0 before the input exists, 1/c while seeding, then constant (also beyond the table)."""
    count = np.arange(_LAST_WARMING_COUNT + 2) - (first_bar - 1)
    seeding = 1.0 / np.maximum(count, 1)
    return np.where(count < 1, 0.0, np.where(count <= period, seeding, constant))


_EMA_WEIGHTS = np.stack([_weights(1, p, 2.0 / (p + 1)) for p in (12, 26, 50, 200)])
_WILDER_WEIGHTS = _weights(2, 14, 1.0 / 14.0)
_SECOND_WEIGHTS = np.stack([_weights(26, 9, 2.0 / 10.0), _weights(15, 14, 1.0 / 14.0)])


@dataclass(frozen=True)
class _Scratch:
    """Room for `rows` bars of b tokens. chains: (12, rows + 1, b), row 0 holds the values before the first bar."""

    chains: FloatMatrix
    wilder_input: FloatMatrix
    second_input: FloatMatrix
    signed_volume: FloatMatrix
    step: FloatMatrix
    zeros: FloatMatrix

    @classmethod
    def of(cls, rows: int, n_tokens: int) -> "_Scratch":
        return cls(
            chains=np.empty((len(CHAINS), rows + 1, n_tokens)),
            wilder_input=np.empty((5, rows, n_tokens)),
            second_input=np.empty((2, rows, n_tokens)),
            signed_volume=np.empty((rows, n_tokens)),
            step=np.empty((5, n_tokens)),
            zeros=np.zeros((rows, n_tokens)),
        )


def compute_recursive(series: Series, output: Mapping[str, FloatMatrix], after: FloatMatrix) -> None:
    """Fill the recursive columns of `output` (each (K, b)) and the means' last values in `after` (STATE_WIDTH, b)."""
    n_bars, n_tokens = series.close.shape
    after[BAR_COUNT] = series.start[BAR_COUNT]
    after[CHAIN] = series.start[CHAIN]
    rows = max(1, _ELEMENTS_AT_A_TIME // max(1, n_tokens))
    scratch = _Scratch.of(rows, n_tokens)
    scratch.chains[:, 0] = series.start[CHAIN]
    past = (series.start[CLOSES][-1:], series.start[HIGHS][-1:], series.start[LOWS][-1:])
    first = 0
    while first < n_bars:
        # The first bar goes alone: the bar before it is in the memory, that of all others in the same matrix.
        stop = 1 if first == 0 else min(first + rows, n_bars)
        part = slice(first, stop)
        if first > 0:
            before = slice(first - 1, stop - 1)
            past = (series.close[before], series.high[before], series.low[before])
        chains = scratch.chains[:, : stop - first + 1]
        _fill_inputs(series, part, past, scratch)
        _run(series, part, chains, scratch)
        _write(chains[:, 1:], {name: matrix[part] for name, matrix in output.items()}, series.volume[part])
        _remember(series, part, chains, after)
        scratch.chains[:, 0] = chains[:, -1]
        first = stop


def _fill_inputs(series: Series, part: slice, past: tuple[FloatMatrix, FloatMatrix, FloatMatrix], scratch: _Scratch) -> None:
    """Gains, losses, true range (Wilder 1978: with the gap from the last close), directional movements, signed volume."""
    close, high, low, volume = series.close[part], series.high[part], series.low[part], series.volume[part]
    past_close, past_high, past_low = past
    rows = close.shape[0]
    gain, loss, true_range, plus, minus = scratch.wilder_input[:, :rows]
    zeros = scratch.zeros[:rows]
    signed_volume = scratch.signed_volume[:rows]

    change = np.subtract(close, past_close, out=signed_volume)
    np.maximum(change, zeros, out=gain)
    np.subtract(gain, change, out=loss)
    np.maximum(high, past_close, out=true_range)
    true_range -= np.minimum(low, past_close)

    np.subtract(high, past_high, out=plus)
    np.maximum(plus, zeros, out=plus)
    np.subtract(past_low, low, out=minus)
    np.maximum(minus, zeros, out=minus)
    upward, downward = plus > minus, minus > plus
    plus *= upward
    minus *= downward

    np.sign(change, out=signed_volume)
    signed_volume *= volume


def _run(series: Series, part: slice, chains: FloatMatrix, scratch: _Scratch) -> None:
    """Step all means through the bars of `part`: first those of the prices, then those of MACD and DX."""
    close, bar_count, volume = series.close[part], series.bar_count[part], series.volume[part]
    rows = close.shape[0]
    restarts = bar_count <= 1
    restarted: BoolMatrix = np.any(restarts, axis=1)
    obv_restarts = restarts | np.isnan(volume)
    obv_restarted: BoolMatrix = np.any(obv_restarts, axis=1)
    warming = bool((bar_count <= _LAST_WARMING_COUNT).any())

    emas, wilder, obv = chains[_EMAS], chains[_WILDER], chains[_OBV]
    ema_step, wilder_step = scratch.step[:4], scratch.step[:5]
    ema_weight, wilder_weight = _EMA_WEIGHTS[:, -1:], _WILDER_WEIGHTS[-1:]
    for k in range(rows):
        if warming:
            ema_weight = _EMA_WEIGHTS.take(bar_count[k], axis=1, mode="clip")
            wilder_weight = _WILDER_WEIGHTS.take(bar_count[k], mode="clip")
        _step(emas[:, k], close[k], ema_weight, ema_step, emas[:, k + 1])
        _step(wilder[:, k], scratch.wilder_input[:, k], wilder_weight, wilder_step, wilder[:, k + 1])
        np.add(obv[k], scratch.signed_volume[k], out=obv[k + 1])
        if restarted[k]:
            np.copyto(emas[:, k + 1], close[k], where=restarts[k])
            np.copyto(wilder[:, k + 1], 0.0, where=restarts[k])
        if obv_restarted[k]:
            np.copyto(obv[k + 1], 0.0, where=obv_restarts[k])

    inputs = scratch.second_input[:, :rows]
    np.subtract(emas[0, 1:], emas[1, 1:], out=inputs[0])
    _directional_index(wilder[_PLUS, 1:], wilder[_MINUS, 1:], out=inputs[1])
    second, second_step = chains[_SECOND], scratch.step[:2]
    weight = _SECOND_WEIGHTS[:, -1:]
    for k in range(rows):
        if warming:
            weight = _SECOND_WEIGHTS.take(bar_count[k], axis=1, mode="clip")
        _step(second[:, k], inputs[:, k], weight, second_step, second[:, k + 1])
        if restarted[k]:
            np.copyto(second[:, k + 1], 0.0, where=restarts[k])


def _step(mean: FloatMatrix, x: FloatMatrix, weight: FloatMatrix, step: FloatMatrix, out: FloatMatrix) -> None:
    np.subtract(x, mean, out=step)
    np.multiply(step, weight, out=step)
    np.add(mean, step, out=out)


def _directional_index(plus: FloatMatrix, minus: FloatMatrix, out: FloatMatrix) -> None:
    """Wilder's DX, 0 to 100; 0 where there is no directional movement at all."""
    total = plus + minus
    none = total == 0.0
    if none.any():
        total[none] = 1.0
    np.subtract(plus, minus, out=out)
    np.abs(out, out=out)
    out /= total
    out *= 100.0


def _write(chains: FloatMatrix, target: Mapping[str, FloatMatrix], volume: FloatMatrix) -> None:
    for index, name in enumerate(CHAINS[_EMAS]):
        target[name][...] = chains[index]
    signal, adx = chains[_SECOND]
    np.subtract(chains[0], chains[1], out=target["macd"])
    target["macd_signal"][...] = signal
    np.subtract(target["macd"], signal, out=target["macd_histogram"])
    target["adx_14"][...] = adx

    wilder = chains[_WILDER]
    true_range = wilder[_TRUE_RANGE]
    target["atr_14"][...] = true_range
    movement = wilder[_GAIN] + wilder[_LOSS]
    _percentage(wilder[_GAIN], movement, target["rsi_14"])
    # A movement is part of its true range; the minimum keeps rounding from saying more than 100 %.
    _percentage(np.minimum(wilder[_PLUS], true_range), true_range, target["plus_di_14"])
    _percentage(np.minimum(wilder[_MINUS], true_range), true_range, target["minus_di_14"])

    target["obv"][...] = chains[_OBV]
    unknown = np.isnan(volume)
    if unknown.any():
        target["obv"][unknown] = np.nan


def _percentage(share: FloatMatrix, whole: FloatMatrix, out: FloatMatrix) -> None:
    np.divide(share, whole, out=out)
    out *= 100.0


def _remember(series: Series, part: slice, chains: FloatMatrix, after: FloatMatrix) -> None:
    """Keep the values at the last bar of each token whose last bar lies in `part`."""
    last = series.length - 1
    ending: BoolMatrix = (last >= part.start) & (last < part.stop)
    if not ending.any():
        return
    tokens = np.flatnonzero(ending)
    after[CHAIN, tokens] = chains[:, last[tokens] - part.start + 1, tokens]
    counts: CountMatrix = series.bar_count[last[tokens], tokens]
    after[BAR_COUNT, tokens] = counts
