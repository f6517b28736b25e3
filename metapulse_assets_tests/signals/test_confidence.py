"""Votes of the indicator families, and the confidence made of them."""

import numpy as np
import pytest

from metapulse_assets.signals.analysed_candles import FloatArray, read_analyses
from metapulse_assets.signals.confidence import FAMILIES, Family, confidence, family_votes
from metapulse_assets_tests.signals.analyses import INTERVAL, crafted

TREND, MOMENTUM, VOLUME, VOLATILITY = range(4)
UNKNOWN_TREND = {"adx_14": np.nan, "sma_50": np.nan, "ema_200": np.nan}
UNKNOWN_MOMENTUM = {"rsi_14": np.nan, "macd": np.nan, "roc_10": np.nan, "stoch_k": np.nan}


def votes(change: dict[str, float], before: dict[str, float] | None = None, bar_count: int = 1_000) -> FloatArray:
    """The votes on a candle after another."""
    candles = read_analyses(crafted(before or {}, change, bar_count=bar_count), INTERVAL)
    return np.asarray(family_votes(candles)[1])


def test_families_are_four_in_the_order_of_the_votes() -> None:
    assert FAMILIES == (Family.TREND, Family.MOMENTUM, Family.VOLUME, Family.VOLATILITY)


def test_a_quiet_candle_votes_for_nothing() -> None:
    assert votes({}).tolist() == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "vote"),
    [
        ({"adx_14": 30.0, "plus_di_14": 25.0, "sma_20": 101.0, "ema_200": 99.0}, 1.0),
        ({"adx_14": 30.0, "minus_di_14": 25.0, "sma_20": 99.0, "ema_200": 101.0}, -1.0),
        ({"adx_14": 25.0, "plus_di_14": 25.0}, 1 / 3),
        ({"adx_14": 24.9, "plus_di_14": 25.0}, 0.0),
        ({"adx_14": np.nan, "plus_di_14": 25.0, "sma_20": 101.0}, 0.5),
        ({"adx_14": 30.0, "plus_di_14": np.nan, "sma_20": 101.0, "ema_200": np.nan}, 1.0),
        (UNKNOWN_TREND, np.nan),
    ],
)
def test_trend_is_the_mean_of_what_is_known(change: dict[str, float], vote: float) -> None:
    assert votes(change)[TREND] == pytest.approx(vote, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "vote"),
    [
        ({"rsi_14": 60.0, "macd": 1.0, "roc_10": 3.0, "stoch_k": 60.0}, 1.0),
        ({"rsi_14": 40.0, "macd": -1.0, "roc_10": -3.0, "stoch_k": 40.0}, -1.0),
        ({"rsi_14": 60.0, "macd": -1.0, "roc_10": 3.0}, 0.25),
        ({"rsi_14": 60.0, "macd": np.nan, "roc_10": np.nan}, 0.5),
        (UNKNOWN_MOMENTUM, np.nan),
    ],
)
def test_momentum_is_the_mean_of_what_is_known(change: dict[str, float], vote: float) -> None:
    assert votes(change)[MOMENTUM] == pytest.approx(vote, nan_ok=True)


@pytest.mark.parametrize(
    ("change", "vote"),
    [
        ({"close": 101.0, "volume_ratio_20": 1.0}, 1.0),
        ({"close": 99.0, "volume_ratio_20": 1.5}, -1.0),
        ({"close": 99.0, "volume_ratio_20": 0.9}, 0.0),
        ({"close": 99.0, "volume_ratio_20": np.nan}, np.nan),
    ],
)
def test_usual_volume_confirms_the_candle(change: dict[str, float], vote: float) -> None:
    assert votes(change)[VOLUME] == pytest.approx(vote, nan_ok=True)


def test_volume_is_unknown_without_a_previous_candle() -> None:
    first = family_votes(read_analyses(crafted({"volume_ratio_20": 2.0}), INTERVAL))[0]
    assert np.isnan(first[VOLUME])
    assert np.isnan(votes({"volume_ratio_20": 0.5}, {"close": np.nan})[VOLUME])


@pytest.mark.parametrize(
    ("change", "vote"),
    [
        ({"close": 96.0}, 1.0),
        ({"close": 90.0}, 1.0),
        ({"close": 98.0}, 0.5),
        ({"close": 104.0}, -1.0),
        ({"close": 120.0}, -1.0),
        ({"bb_upper": np.nan}, np.nan),
        ({"bb_upper": 100.0, "bb_lower": 100.0}, np.nan),
    ],
)
def test_volatility_is_the_room_inside_the_bands(change: dict[str, float], vote: float) -> None:
    assert votes(change)[VOLATILITY] == pytest.approx(vote, nan_ok=True)


def test_a_value_that_is_not_warmed_up_has_no_vote() -> None:
    change = {**UNKNOWN_TREND, **UNKNOWN_MOMENTUM, "ema_200": 90.0, "rsi_14": 60.0}
    assert np.isnan(votes(change, bar_count=100)[[TREND, MOMENTUM]]).all()
    assert votes(change, bar_count=800)[[TREND, MOMENTUM]].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("row", "sign", "own", "expected"),
    [
        ([1.0, 1.0, 1.0, 1.0], 1, None, 1.0),
        ([1.0, 1.0, 1.0, 1.0], -1, None, 0.0),
        ([0.0, 0.0, 0.0, 0.0], 1, None, 0.5),
        ([-1.0, 1.0, 1.0, 1.0], 1, Family.TREND, 1.0),
        ([0.5, -1.0, 0.5, 0.5], 1, Family.MOMENTUM, 0.75),
        ([1.0, np.nan, np.nan, 1.0], 1, None, 0.5),
        ([np.nan, np.nan, 1.0, np.nan], 1, Family.VOLUME, 0.0),
        ([np.nan, np.nan, np.nan, np.nan], -1, None, 0.0),
        ([-1.0, -1.0, np.nan, 1.0], -1, Family.VOLATILITY, 2 / 3),
    ],
)
def test_confidence_is_agreement_times_share_known(row: list[float], sign: float, own: Family | None, expected: float) -> None:
    assert confidence(np.array([[9.0] * 4, row]), np.array([1]), sign, own).tolist() == pytest.approx([expected])
