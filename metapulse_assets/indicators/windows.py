"""Indicators over a fixed number of bars: means, Bollinger bands, stochastic, rate of change, support, resistance.

Belongs here: formulas that need only the last bars. Does not: recursive means (`recursive`), guards (`guards`).

A window is built by doubling (2, 4, 8 … bars), so the order of the additions depends only on the place within the
window: the same bars give the same bits, however the series was cut and whatever stands beside it.
"""

from collections.abc import Mapping

import numpy as np

from metapulse_assets.indicators.bars import FloatMatrix, IntArray
from metapulse_assets.indicators.guards import Series
from metapulse_assets.indicators.state import CLOSES, CLOSES_KEPT, HIGHS, LOWS, RANGES_KEPT, VOLUMES

BAND_WIDTH = 2.0
"""Standard deviations on either side of the middle band (Bollinger)."""

FLAT_BAND = 1e-12
"""A standard deviation below this share of the price is rounding, not volatility."""

_ELEMENTS_AT_A_TIME = 49_152
"""Numbers of one matrix worked on together, so that a handful of them stays in the processor's cache."""

_STOCHASTIC_PAST = 4
"""Two means of three bars, one upon the other, need the four bars before."""


def compute_windows(series: Series, output: Mapping[str, FloatMatrix], after: FloatMatrix) -> None:
    """Fill the window columns of `output` (each (K, b)) and the last bars of each token in `after` (STATE_WIDTH, b)."""
    n_bars, n_tokens = series.close.shape
    width = max(1, _ELEMENTS_AT_A_TIME // (n_bars + CLOSES_KEPT))
    for first in range(0, n_tokens, width):
        tokens = slice(first, min(first + width, n_tokens))
        close = _with_past(series.close, series.start, CLOSES, tokens)
        high = _with_past(series.high, series.start, HIGHS, tokens)
        low = _with_past(series.low, series.start, LOWS, tokens)
        volume = _with_past(series.volume, series.start, VOLUMES, tokens)
        for part, matrix in ((CLOSES, close), (HIGHS, high), (LOWS, low), (VOLUMES, volume)):
            after[part, tokens] = _last_bars(matrix, series.length[tokens], part.stop - part.start)
        target = {name: matrix[:, tokens] for name, matrix in output.items()}
        _fill_means_and_bands(close, n_bars, target)
        _fill_momentum(close, n_bars, target)
        _fill_ranges(high, low, close[CLOSES_KEPT - RANGES_KEPT :], n_bars, target)
        _fill_volume_mean(volume, n_bars, target)


def _with_past(matrix: FloatMatrix, start: FloatMatrix, part: slice, tokens: slice) -> FloatMatrix:
    return np.concatenate([start[part, tokens], matrix[:, tokens]])


def _last_bars(matrix: FloatMatrix, length: IntArray, kept: int) -> FloatMatrix:
    """The `kept` bars up to each token's last; the matrix starts `kept` bars before the first."""
    if (length == length[0]).all():
        return matrix[length[0] : length[0] + kept]
    return np.take_along_axis(matrix, length + np.arange(kept)[:, None], axis=0)


def _ending(windows: FloatMatrix, n_bars: int, back: int = 0) -> FloatMatrix:
    """Of windows in the order of their last bar: those that end `back` bars before each of the last n_bars bars."""
    stop = windows.shape[0] - back
    return windows[stop - n_bars : stop]


def _fill_means_and_bands(close: FloatMatrix, n_bars: int, target: Mapping[str, FloatMatrix]) -> None:
    """SMA 20 and 50, and Bollinger's bands with the population standard deviation. close starts 49 bars early."""
    sum_2 = close[1:] + close[:-1]
    sum_4 = sum_2[2:] + sum_2[:-2]
    sum_8 = sum_4[4:] + sum_4[:-4]
    sum_16 = sum_8[8:] + sum_8[:-8]
    sum_32 = sum_16[16:] + sum_16[:-16]
    sum_50 = _ending(sum_32, n_bars) + _ending(sum_16, n_bars, 32)
    sum_50 += _ending(sum_2, n_bars, 48)
    np.divide(sum_50, 50.0, out=target["sma_50"])

    recent_16, earlier_4 = _ending(sum_16, n_bars), _ending(sum_4, n_bars, 16)
    middle = recent_16 + earlier_4
    middle /= 20.0
    target["sma_20"][...] = middle
    target["bb_middle"][...] = middle

    # The bands merge the last 16 bars with the 4 before: they need nothing older than 20 bars.
    recent = n_bars + 19
    squares_2 = close[1 - recent :] - close[-recent:-1]
    squares_2 *= squares_2
    squares_2 *= 0.5
    squares_4 = _merged(squares_2, _ending(sum_2, recent - 1), 2)
    squares_8 = _merged(squares_4, _ending(sum_4, recent - 3), 4)
    squares_16 = _merged(squares_8, _ending(sum_8, recent - 7), 8)
    deviation = earlier_4 * 4.0
    np.subtract(recent_16, deviation, out=deviation)
    deviation *= deviation
    deviation /= 80.0
    deviation += _ending(squares_16, n_bars)
    deviation += _ending(squares_4, n_bars, 16)
    deviation /= 20.0
    np.sqrt(deviation, out=deviation)
    _fill_bands(middle, deviation, target)


def _merged(squares: FloatMatrix, sums: FloatMatrix, m: int) -> FloatMatrix:
    """Squared deviations from the mean, summed over 2m bars, of those over m bars.

    Two windows of m bars merge by adding (difference of their sums)² / 2m (Chan, Golub and LeVeque 1983), which stays
    exact where the price is large beside its changes. For windows of a and b bars: (b × sum_a - a × sum_b)² / ab(a+b).
    """
    between = sums[m:] - sums[:-m]
    between *= between
    between *= 0.5 / m
    between += squares[m:]
    between += squares[:-m]
    return between


def _fill_bands(middle: FloatMatrix, deviation: FloatMatrix, target: Mapping[str, FloatMatrix]) -> None:
    flat = deviation < FLAT_BAND * middle
    if flat.any():
        deviation[flat] = np.nan
    deviation *= BAND_WIDTH
    np.subtract(middle, deviation, out=target["bb_lower"])
    np.add(middle, deviation, out=target["bb_upper"])


def _fill_momentum(close: FloatMatrix, n_bars: int, target: Mapping[str, FloatMatrix]) -> None:
    now, before = _ending(close, n_bars), _ending(close, n_bars, 10)
    momentum = now - before
    target["mom_10"][...] = momentum
    momentum /= before
    np.multiply(momentum, 100.0, out=target["roc_10"])


def _fill_ranges(
    high: FloatMatrix, low: FloatMatrix, close: FloatMatrix, n_bars: int, target: Mapping[str, FloatMatrix]
) -> None:
    """Stochastic of 14 bars; support and resistance of the 20 before. All inputs start RANGES_KEPT bars early."""
    needed = n_bars + _STOCHASTIC_PAST
    highest_14 = _extreme_windows(np.maximum, high, n_bars, needed, target["resistance_20"])
    lowest_14 = _extreme_windows(np.minimum, low, n_bars, needed, target["support_20"])
    position = _ending(close, needed) - lowest_14
    # Without any range this is 0 / 0: no value, nor any in the means that contain it.
    position /= highest_14 - lowest_14
    position *= 100.0
    smooth = position[2:] + position[1:-1]
    smooth += position[:-2]
    smooth /= 3.0
    target["stoch_k"][...] = smooth[2:]
    slow = smooth[2:] + smooth[1:-1]
    slow += smooth[:-2]
    np.divide(slow, 3.0, out=target["stoch_d"])


def _extreme_windows(extreme: np.ufunc, prices: FloatMatrix, n_bars: int, needed: int, before_20: FloatMatrix) -> FloatMatrix:
    """The extreme of the 14 bars up to each of the last `needed`; that of the 20 bars before goes to before_20."""
    of_2 = extreme(prices[1:], prices[:-1])
    of_4 = extreme(of_2[2:], of_2[:-2])
    of_8 = extreme(of_4[4:], of_4[:-4])
    of_16 = extreme(of_8[8:], of_8[:-8])
    extreme(_ending(of_16, n_bars, 1), _ending(of_16, n_bars, 5), out=before_20)
    of_14: FloatMatrix = extreme(_ending(of_8, needed), _ending(of_8, needed, 6))
    return of_14


def _fill_volume_mean(volume: FloatMatrix, n_bars: int, target: Mapping[str, FloatMatrix]) -> None:
    sum_2 = volume[1:] + volume[:-1]
    sum_4 = sum_2[2:] + sum_2[:-2]
    sum_8 = sum_4[4:] + sum_4[:-4]
    sum_16 = sum_8[8:] + sum_8[:-8]
    mean = _ending(sum_16, n_bars, 1) + _ending(sum_4, n_bars, 17)
    np.divide(mean, 20.0, out=target["volume_mean_20"])
