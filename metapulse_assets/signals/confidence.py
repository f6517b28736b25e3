"""How far the indicators that a rule did not read agree with it.

Belongs here: the votes of the four indicator families, and confidence from them. Does not: rules, calibration.

Confidence is a share of agreement, not a probability: it says nothing of the hit rate until outcomes are counted.
"""

from enum import StrEnum

import numpy as np

from metapulse_assets.signals.analysed_candles import AnalysedCandles, FloatArray, IntArray


class Family(StrEnum):
    """What an indicator measures. Indicators of one family repeat each other, so a family votes once."""

    TREND = "trend"
    MOMENTUM = "momentum"
    VOLUME = "volume"
    VOLATILITY = "volatility"


FAMILIES = tuple(Family)

ADX_TRENDING = 25.0
"""Below it the directional indicators are read as "no trend" (the customary reading of Wilder's ADX)."""

RSI_MIDDLE = 50.0
USUAL_VOLUME_RATIO = 1.0
"""A candle with less than its usual volume confirms no direction. Own choice."""


def family_votes(candles: AnalysedCandles) -> FloatArray:
    """(rows, 4): each family's vote in the order of FAMILIES, -1 (sell) to 1 (buy), NaN where nothing of it is known.

    trend: mean of the signs of DI+ less DI- (0 while ADX < 25), SMA 20 less SMA 50, close less EMA 200.
    momentum: mean of the signs of RSI less 50, MACD less its signal, ROC 10, %K less %D.
    volume: sign of the close's change since the previous candle; 0 on less volume than usual.
    volatility: room inside the Bollinger bands: 1 at the lower band, 0 in the middle, -1 at the upper.
    """
    value = candles.values
    directional = np.sign(value["plus_di_14"] - value["minus_di_14"])
    trending = np.where(value["adx_14"] < ADX_TRENDING, 0.0, directional)
    trend = _mean_of_known(
        np.where(np.isnan(value["adx_14"] + directional), np.nan, trending),
        np.sign(value["sma_20"] - value["sma_50"]),
        np.sign(value["close"] - value["ema_200"]),
    )
    momentum = _mean_of_known(
        np.sign(value["rsi_14"] - RSI_MIDDLE),
        np.sign(value["macd"] - value["macd_signal"]),
        np.sign(value["roc_10"]),
        np.sign(value["stoch_k"] - value["stoch_d"]),
    )
    ratio = value["volume_ratio_20"]
    change = np.sign(value["close"] - candles.previous("close"))
    volume = np.where(ratio < USUAL_VOLUME_RATIO, 0.0 * change, change + 0.0 * ratio)
    half_width = (value["bb_upper"] - value["bb_lower"]) / 2
    middle = (value["bb_upper"] + value["bb_lower"]) / 2
    position = (value["close"] - middle) / np.where(half_width > 0, half_width, np.nan)
    volatility = -np.clip(position, -1.0, 1.0)
    return np.stack([trend, momentum, volume, volatility], axis=1)


def confidence(votes: FloatArray, rows: IntArray, sign: float, own_family: Family | None) -> FloatArray:
    """Confidence 0 to 1 of hits at `rows` in one direction (sign 1: buy, -1: sell).

    The mean agreement (1 + vote * sign) / 2 of the families that are known, times the share of families known; the
    rule's own family is left out, as it would only repeat the rule. 0.5 means neither support nor contradiction.
    """
    asked = [i for i, family in enumerate(FAMILIES) if family is not own_family]
    agreement = (1.0 + votes[rows][:, asked] * sign) / 2.0
    # Mean of the known times share known is the sum of the known over all that were asked.
    return np.asarray(np.nansum(agreement, axis=1) / len(asked), dtype=np.float64)


def _mean_of_known(*parts: FloatArray) -> FloatArray:
    stacked = np.stack(parts)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
