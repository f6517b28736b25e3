"""The standard set computed the slow way: one series, one bar at a time, in exact fractions, straight from the books.

It shares no code and no method with the kernel, so that a mistake would have to be made twice.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

Series = list[Fraction | None]


def exact(numbers: Sequence[float]) -> list[Fraction]:
    return [Fraction(number) for number in numbers]


def sma(values: Series, period: int) -> Series:
    result: Series = []
    for k in range(len(values)):
        window = values[max(0, k - period + 1) : k + 1]
        known = [value for value in window if value is not None]
        result.append(sum(known, Fraction(0)) / period if len(known) == period else None)
    return result


def smoothed(values: Series, period: int, weight: Fraction) -> Series:
    """Recursive mean seeded by the simple mean of the first `period` values."""
    result: Series = []
    seen: list[Fraction] = []
    mean: Fraction | None = None
    for value in values:
        if value is not None and mean is not None:
            mean = weight * value + (1 - weight) * mean
            # Exact fractions would grow without bound; 1e-40 is exact enough.
            mean = mean.limit_denominator(10**40)
        elif value is not None:
            seen.append(value)
            mean = sum(seen, Fraction(0)) / period if len(seen) == period else None
        result.append(mean)
    return result


def ema(values: Series, period: int) -> Series:
    return smoothed(values, period, Fraction(2, period + 1))


def wilder(values: Series, period: int = 14) -> Series:
    return smoothed(values, period, Fraction(1, period))


def combined(rule: Callable[..., Fraction | None], *series: Series) -> Series:
    return [None if None in row else rule(*row) for row in zip(*series, strict=True)]


def standard_set(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], volume: Sequence[float]
) -> dict[str, list[float]]:
    """Every column of the standard set by its database name; NaN where there is no value."""
    h, lo, c, v = exact(high), exact(low), exact(close), exact(volume)
    closes: Series = list(c)
    bars = range(len(c))
    none: Series = [None]
    result: dict[str, Series] = {}

    gain = wilder(none + [max(c[k] - c[k - 1], Fraction(0)) for k in bars[1:]])
    loss = wilder(none + [max(c[k - 1] - c[k], Fraction(0)) for k in bars[1:]])
    result["rsi_14"] = combined(lambda g, s: 100 - 100 / (1 + g / s) if s else Fraction(100), gain, loss)

    for period in (12, 26, 50, 200):
        result[f"ema_{period}"] = ema(closes, period)
    result["macd"] = combined(lambda fast, slow: fast - slow, result["ema_12"], result["ema_26"])
    result["macd_signal"] = ema(result["macd"], 9)
    result["macd_histogram"] = combined(lambda m, s: m - s, result["macd"], result["macd_signal"])
    result["sma_20"], result["sma_50"] = sma(closes, 20), sma(closes, 50)

    true_range = wilder(none + [max(h[k] - lo[k], abs(h[k] - c[k - 1]), abs(lo[k] - c[k - 1])) for k in bars[1:]])
    plus: list[Fraction | None] = [None]
    minus: list[Fraction | None] = [None]
    for k in bars[1:]:
        up, down = h[k] - h[k - 1], lo[k - 1] - lo[k]
        plus.append(up if up > down and up > 0 else Fraction(0))
        minus.append(down if down > up and down > 0 else Fraction(0))
    result["atr_14"] = true_range
    result["plus_di_14"] = combined(lambda m, t: 100 * m / t, wilder(plus), true_range)
    result["minus_di_14"] = combined(lambda m, t: 100 * m / t, wilder(minus), true_range)
    directional = combined(
        lambda p, m: 100 * abs(p - m) / (p + m) if p + m else Fraction(0), result["plus_di_14"], result["minus_di_14"]
    )
    result["adx_14"] = wilder(directional)

    position: Series = []
    for k in bars:
        if k < 13:
            position.append(None)
            continue
        highest, lowest = max(h[k - 13 : k + 1]), min(lo[k - 13 : k + 1])
        position.append(100 * (c[k] - lowest) / (highest - lowest) if highest > lowest else None)
    result["stoch_k"] = sma(position, 3)
    result["stoch_d"] = sma(result["stoch_k"], 3)

    balance = [Fraction(0)]
    for k in bars[1:]:
        sign = (c[k] > c[k - 1]) - (c[k] < c[k - 1])
        balance.append(balance[-1] + sign * v[k])
    result["obv"] = list(balance)
    result["mom_10"] = [None if k < 10 else c[k] - c[k - 10] for k in bars]
    result["roc_10"] = [None if k < 10 else 100 * (c[k] - c[k - 10]) / c[k - 10] for k in bars]

    floats = {name: [math.nan if value is None else float(value) for value in series] for name, series in result.items()}
    floats["bb_middle"] = floats["sma_20"]
    deviation = [_deviation(c[k - 19 : k + 1]) if k >= 19 else math.nan for k in bars]
    floats["bb_lower"] = [m - 2 * d for m, d in zip(floats["sma_20"], deviation, strict=True)]
    floats["bb_upper"] = [m + 2 * d for m, d in zip(floats["sma_20"], deviation, strict=True)]
    return floats


def _deviation(window: Sequence[Fraction]) -> float:
    mean = sum(window, Fraction(0)) / len(window)
    variance = sum(((value - mean) ** 2 for value in window), Fraction(0)) / len(window)
    return math.sqrt(variance)
