"""Votes, trend, recommendation and confidence: crafted bars with known answers, and what must hold for any."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.indicators.analysis import VOTERS, Analysis, Recommendation, Trend, Vote, analyse
from metapulse_assets.indicators.bars import bar_positions
from metapulse_assets.indicators.columns import COLUMNS
from metapulse_assets.indicators.kernel import compute
from metapulse_assets_tests.indicators import series

RISING = {
    "rsi_14": 60.0, "macd_histogram": 1.0, "close": 110.0, "sma_20": 105.0, "sma_50": 100.0, "ema_200": 90.0,
    "bb_lower": 95.0, "bb_upper": 115.0, "adx_14": 40.0, "plus_di_14": 30.0, "minus_di_14": 10.0, "stoch_k": 60.0,
    "stoch_d": 60.0, "support_20": 98.0, "resistance_20": 111.0, "volume_mean_20": 5.0,
}  # fmt: skip
OLD = 1000


def read(bar_count: float = OLD, **changes: float) -> Analysis:
    """The analysis of one bar: a rising market, but for the changes; columns not used are NaN."""
    columns = {column.name: np.array([{**RISING, **changes}.get(column.name, math.nan)]) for column in COLUMNS}
    return analyse(columns, np.array([bar_count], dtype=np.int32))


def vote_of(analysis: Analysis, voter: str) -> Vote:
    return Vote(int(analysis.votes[0, VOTERS.index(voter)]))


def test_a_rising_market() -> None:
    analysis = read()
    # Five for (MACD, three means, ADX), three neither way: 5/8 > 0.5.
    assert analysis.votes[0].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
    assert Recommendation(int(analysis.recommendation[0])) is Recommendation.STRONG_BUY
    assert analysis.confidence[0] == 5 / 8
    assert Trend(int(analysis.trend[0])) is Trend.UP
    assert analysis.trend_strength[0] == 0.4
    assert (analysis.support[0], analysis.resistance[0]) == (98.0, 111.0)


@pytest.mark.parametrize(
    ("voter", "changes", "vote"),
    [
        ("rsi", {"rsi_14": 29.9}, Vote.BUY),
        ("rsi", {"rsi_14": 30.0}, Vote.NEUTRAL),
        ("rsi", {"rsi_14": 70.0}, Vote.NEUTRAL),
        ("rsi", {"rsi_14": 70.1}, Vote.SELL),
        ("macd", {"macd_histogram": -0.1}, Vote.SELL),
        ("macd", {"macd_histogram": 0.0}, Vote.NEUTRAL),
        ("sma_20", {"sma_20": 120.0}, Vote.SELL),
        ("sma_50", {"sma_50": 120.0}, Vote.SELL),
        ("ema_200", {"ema_200": 110.0}, Vote.NEUTRAL),
        ("adx", {"adx_14": 24.9}, Vote.NEUTRAL),
        ("adx", {"adx_14": 25.0}, Vote.BUY),
        ("adx", {"plus_di_14": 5.0}, Vote.SELL),
        ("stochastic", {"stoch_k": 19.9}, Vote.BUY),
        ("stochastic", {"stoch_k": 80.1}, Vote.SELL),
        ("bollinger", {"bb_lower": 111.0}, Vote.BUY),
        ("bollinger", {"bb_upper": 109.0}, Vote.SELL),
        ("macd", {"macd_histogram": math.nan}, Vote.MISSING),
        ("bollinger", {"bb_upper": math.nan}, Vote.MISSING),
        ("adx", {"minus_di_14": math.nan}, Vote.MISSING),
    ],
)
def test_each_vote(voter: str, changes: dict[str, float], vote: Vote) -> None:
    assert vote_of(read(**changes), voter) is vote


@pytest.mark.parametrize(
    ("voter", "bars"),
    [("rsi", 150), ("macd", 150), ("adx", 150), ("ema_200", 800), ("sma_50", 50), ("sma_20", 20), ("stochastic", 16)],
)
def test_a_vote_counts_only_past_its_warm_up(voter: str, bars: int) -> None:
    assert vote_of(read(bar_count=bars - 1), voter) is Vote.MISSING
    assert vote_of(read(bar_count=bars), voter) is not Vote.MISSING


@pytest.mark.parametrize(
    ("changes", "expected", "confidence"),
    [
        ({}, Recommendation.STRONG_BUY, 5 / 8),
        ({"macd_histogram": -1.0}, Recommendation.BUY, 4 / 8),
        ({"macd_histogram": -1.0, "adx_14": 10.0, "ema_200": 120.0}, Recommendation.NEUTRAL, 4 / 8),
        ({"macd_histogram": -1.0, "adx_14": 10.0, "ema_200": 120.0, "sma_50": 120.0}, Recommendation.SELL, 3 / 8),
        (
            {"macd_histogram": -1.0, "plus_di_14": 5.0, "ema_200": 120.0, "sma_50": 120.0, "sma_20": 120.0},
            Recommendation.STRONG_SELL,
            5 / 8,
        ),
    ],
)
def test_votes_add_up(changes: dict[str, float], expected: Recommendation, confidence: float) -> None:
    analysis = read(**changes)
    assert Recommendation(int(analysis.recommendation[0])) is expected
    assert analysis.confidence[0] == confidence


def test_a_young_series_abstains_then_speaks_with_less_confidence() -> None:
    # 49 bars: SMA 20, stochastic, Bollinger can vote, one short of half; with 50 SMA 50 joins.
    young, older = read(bar_count=49), read(bar_count=50)
    assert Recommendation(int(young.recommendation[0])) is Recommendation.ABSTAIN
    assert math.isnan(young.confidence[0])
    assert Trend(int(young.trend[0])) is Trend.UNKNOWN
    assert Recommendation(int(older.recommendation[0])) is Recommendation.BUY
    assert older.confidence[0] == 2 / 8


def test_trend_without_the_adx_follows_the_order_of_the_means() -> None:
    for changes, expected in (
        ({}, Trend.UP),
        ({"close": 90.0, "sma_20": 95.0}, Trend.DOWN),
        ({"close": 104.0}, Trend.SIDEWAYS),
    ):
        analysis = read(bar_count=100, **changes)
        assert Trend(int(analysis.trend[0])) is expected
        assert math.isnan(analysis.trend_strength[0])


def test_trend_with_the_adx() -> None:
    assert Trend(int(read(plus_di_14=5.0).trend[0])) is Trend.DOWN
    weak = read(adx_14=12.0)
    assert Trend(int(weak.trend[0])) is Trend.SIDEWAYS
    assert weak.trend_strength[0] == 0.12


def test_a_dead_market_is_not_read() -> None:
    analysis = read(rsi_14=math.nan)
    assert Recommendation(int(analysis.recommendation[0])) is Recommendation.ABSTAIN
    assert Trend(int(analysis.trend[0])) is Trend.UNKNOWN
    assert math.isnan(analysis.confidence[0])
    assert math.isnan(analysis.trend_strength[0])


@pytest.mark.parametrize("dead", ["flat", "idle"])
def test_dead_pools_from_bars_to_abstention(dead: str) -> None:
    walk = series.walk(900, 1, seed=3)
    arrays = {name: getattr(walk, name).copy() for name in series.FIELDS}
    if dead == "idle":
        arrays["volume"][880:] = 0.0
    else:
        for name in ("open", "high", "low", "close"):
            arrays[name][880:] = walk.close[879]
    values, _ = compute(series.whole(**arrays))
    analysis = analyse(values.at(np.array([870, 899]), np.array([0, 0])), values.bar_count[[870, 899], 0])
    assert analysis.recommendation[0] != Recommendation.ABSTAIN
    assert analysis.recommendation[1] == Recommendation.ABSTAIN
    assert analysis.trend[1] == Trend.UNKNOWN


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.integers(1, 260), min_size=1, max_size=4))
def test_what_is_missing_stays_missing(seed: int, lengths: list[int]) -> None:
    bars = series.rough(seed, lengths)
    values, _ = compute(bars)
    token = np.repeat(np.arange(len(lengths)), lengths)
    bar = bar_positions(token)
    flat = values.at(bar, token)
    analysis = analyse(flat, values.bar_count[bar, token])
    abstained = analysis.recommendation == Recommendation.ABSTAIN
    np.testing.assert_array_equal(np.isnan(analysis.confidence), abstained)
    sure = analysis.confidence[~abstained]
    assert ((sure >= 0.0) & (sure <= 1.0)).all()
    cast = (analysis.votes != Vote.MISSING).sum(axis=1)
    assert abstained[(cast < 4) | np.isnan(flat["rsi_14"])].all()
    assert not abstained[(cast >= 4) & np.isfinite(flat["rsi_14"])].any()
    assert np.isnan(analysis.trend_strength[analysis.trend == Trend.UNKNOWN]).all()
    strength = analysis.trend_strength[np.isfinite(analysis.trend_strength)]
    assert ((strength >= 0.0) & (strength <= 1.0)).all()
    # One bar read alone says the same.
    last = len(token) - 1
    alone = analyse({name: column[last:] for name, column in flat.items()}, values.bar_count[bar, token][last:])
    assert alone.recommendation[0] == analysis.recommendation[last]
    assert alone.trend[0] == analysis.trend[last]


def test_labels_are_those_that_are_stored() -> None:
    assert [r.label for r in Recommendation] == ["abstain", "strong_buy", "buy", "neutral", "sell", "strong_sell"]
    assert [t.label for t in Trend] == ["unknown", "up", "down", "sideways"]


def test_columns_must_match_the_counts() -> None:
    columns = {column.name: np.zeros(3) for column in COLUMNS}
    with pytest.raises(ValueError, match=r"rsi_14: expected shape \(2,\)"):
        analyse(columns, [1, 2])
    with pytest.raises(ValueError, match="bar_count: expected one value a bar"):
        analyse(columns, [[1, 2, 3]])
