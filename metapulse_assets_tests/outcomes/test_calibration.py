"""The numbers of a source: each against its definition, no skill found where there is none, all of it where there is."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.outcomes.base_rates import MomentCounts, TokenMarket, count_moments
from metapulse_assets.outcomes.calibration import (
    FEWEST_OUTCOMES,
    ScoredOutcomes,
    block_of,
    brier_skill,
    calibrate,
    correlation,
    fit_curve,
    log_loss,
    on_curve,
    pooled,
    ranks,
    reliability,
    sources,
    wilson_interval,
)
from metapulse_assets.outcomes.calibration_chart import ReliabilityLine, draw_png
from metapulse_assets.outcomes.resolving import judge
from metapulse_assets.outcomes.rows import HORIZONS, MINUTE, SECOND, CandleRows, JudgedSignals, Prices
from metapulse_assets.signals.candidates import RecentSignals
from metapulse_assets.signals.technical import find_rule_hits
from metapulse_assets_tests.outcomes.outcome_markets import FIVE, LATER, START, candles, market, path, snapshots
from metapulse_assets_tests.outcomes.test_recorded_candles import _analyse as analyse
from metapulse_assets_tests.outcomes.test_recorded_candles import as_candidates, emit

HOUR = 60 * MINUTE
Floats = npt.NDArray[np.float64]
shares = st.lists(st.integers(0, 100).map(lambda v: v / 100), min_size=1, max_size=150)
FREE = TokenMarket({}, 1.0, {})


def hits_of(confidence: Floats, seed: int) -> npt.NDArray[np.bool_]:
    """Hits that come as often as each confidence says."""
    return np.asarray(np.random.default_rng(seed).random(confidence.size) < confidence, np.bool_)


@given(st.integers(1, 2_000), st.floats(0, 1))
def test_the_wilson_interval_holds_the_shares_that_a_score_test_does_not_reject(n: int, part: float) -> None:
    hits = round(part * n)
    low, high = wilson_interval(hits, n)
    assert 0 <= low <= hits / n <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(hits / n - end) / np.sqrt(end * (1 - end) / n) == pytest.approx(1.959964, rel=1e-6)


def test_a_wilson_interval_from_the_literature() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@given(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=40))
def test_ranks_count_what_is_smaller_and_half_of_what_is_equal(values: list[float]) -> None:
    found = ranks(np.array(values))
    for rank, value in zip(found, values, strict=True):
        assert rank == sum(v < value for v in values) + (sum(v == value for v in values) - 1) / 2


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 5)), min_size=1, max_size=12))
def test_pooling_gives_the_nearest_sequence_that_never_falls(pairs: list[tuple[int, int]]) -> None:
    values, weight = (np.array(column, np.float64) for column in zip(*pairs, strict=True))
    found = pooled(values, weight)
    assert (np.diff(found) >= 0).all()
    # The max-min formula of isotonic regression (Robertson et al. 1988).
    for i in range(values.size):
        means = [
            min(np.average(values[a : b + 1], weights=weight[a : b + 1]) for b in range(i, values.size)) for a in range(i + 1)
        ]
        assert found[i] == pytest.approx(max(means))


@given(shares, st.integers(0, 9))
def test_a_curve_never_falls_lies_within_0_and_1_and_needs_enough_outcomes(confidences: list[float], seed: int) -> None:
    confidence = np.array(confidences)
    curve = fit_curve(confidence, hits_of(confidence, seed))
    assert (curve is None) is (confidence.size < FEWEST_OUTCOMES)
    if curve is not None:
        probability = [on_curve(curve, at) for at in np.linspace(0, 1, 21)]
        assert min(probability) >= 0
        assert max(probability) <= 1
        assert (np.diff(probability) >= 0).all()
        assert (np.diff([point[0] for point in curve]) > 0).all()


def test_a_curve_finds_what_a_confidence_is_worth() -> None:
    confidence = np.random.default_rng(1).random(20_000)
    curve = fit_curve(confidence, hits_of(0.3 + 0.2 * confidence, 2))
    assert curve is not None
    for at in (0.1, 0.5, 0.9):
        assert on_curve(curve, at) == pytest.approx(0.3 + 0.2 * at, abs=0.03)


@given(shares, st.integers(0, 9))
def test_the_reliability_table_counts_each_outcome_once(confidences: list[float], seed: int) -> None:
    confidence = np.array(confidences)
    hit = hits_of(confidence, seed)
    table: list[dict[str, Any]] = reliability(confidence, hit)
    assert len(table) == 10
    assert sum(row["n"] for row in table) == confidence.size
    assert sum(row["n"] * (row["hit_rate"] or 0) for row in table) == pytest.approx(hit.sum())
    for row in table:
        assert row["n"] == 0 or row["from"] - 1e-9 <= row["mean_confidence"] <= row["to"] + 1e-9


def test_scores_of_probabilities() -> None:
    hit = np.array([True, False, False, True])
    assert brier_skill(0.25, 0.5, hit) == 0
    assert brier_skill(0.0, 0.5, hit) == 1
    assert log_loss(np.full(4, 0.5), hit) == pytest.approx(np.log(2))
    assert log_loss(np.array([1.0, 0.0, 0.0, 0.0]), hit) == pytest.approx(-(np.log(0.001) + 3 * np.log(0.999)) / 4)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=30), st.integers(0, 9))
def test_correlation_is_pearsons_within_its_interval_ends(pairs: list[tuple[float, float]], seed: int) -> None:
    x, y = (np.round(np.array(column), 2) for column in zip(*pairs, strict=True))
    random = np.random.default_rng(seed)
    value, (low, high) = correlation(x, y, np.arange(x.size) % 3, random)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(value)
    else:
        assert value == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
        assert np.isnan(low) or -1 <= low <= high <= 1
    assert np.isnan(correlation(x, y, np.zeros(x.size, np.intp), random)[1][0]), "one block says nothing of chance"


def test_blocks_are_days_once_there_are_enough_of_them() -> None:
    hours = START + np.arange(0, 8 * 24) * HOUR
    assert np.unique(block_of(hours)).size == 8 * 24
    hours = START + np.arange(0, 15 * 24) * HOUR
    assert np.unique(block_of(hours)).size == 16


def plain_count(rows: CandleRows, span: int, kept: float, end: int | None) -> tuple[int, int, int]:
    """Moments, buys and sells that paid for one token, in a loop."""
    opens = dict(zip(rows.opened_at.tolist(), rows.open.tolist(), strict=True))
    closes = {t + rows.interval: c for t, c in zip(rows.opened_at.tolist(), rows.close.tolist(), strict=True)}
    moments = buys = sells = 0
    for opened, first in opens.items():
        left = max(t for t in closes if opened < t and (t <= opened + span or t == opened + rows.interval))
        fresh = left <= opened + span and opened + span - left <= min(max(15 * MINUTE, rows.interval), span)
        gone = not fresh and end is not None and opened + span > end
        if fresh or gone:
            moments += 1
            buys += bool(closes[left] / first * kept > 1 and not gone)
            sells += bool(1 - closes[left] / first / kept > 0)
    return moments, buys, sells


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.floats(0.8, 1.2)), min_size=1, max_size=30, unique_by=lambda row: row[0]),
    st.sampled_from([1.0, 0.97]),
    st.booleans(),
    st.sampled_from(["5m", "1h"]),
)
def test_moments_are_counted_as_by_hand(rows: list[tuple[int, float]], kept: float, gone: bool, horizon: str) -> None:
    made = candles([(1, START + s * FIVE, 0, 1.0, max(c, 1), min(c, 1), round(c, 2)) for s, c in sorted(rows)])
    end = int(made.opened_at.max()) + FIVE if gone else None
    world = TokenMarket({1: kept}, 1.0, {} if end is None else {1: end})
    found = count_moments(made, horizon, (0, LATER), world)
    expected = plain_count(made, HORIZONS[horizon], kept, end)
    got = tuple(int(part.sum()) for part in (found.moments, found.buy_hits, found.sell_hits))
    assert got == expected


def test_holding_is_from_the_first_candle_to_the_last_and_a_vanished_pool_is_a_total_loss() -> None:
    both = candles([*path([1.0, 2.0, 3.0]), *path([1.0, 0.9], token=2)])
    counts = count_moments(both, "5m", (0, LATER), TokenMarket({1: 0.5}, 1.0, {2: START + 2 * FIVE}))
    assert counts.holding.tolist() == [0.5, -1.0]
    assert counts.mean_holding(np.array([1, 1, 2])) == -0.25


def walks(seed: int, tokens: int = 20, days: int = 12) -> CandleRows:
    """Five-minute candles of random walks without drift, in logarithms."""
    random = np.random.default_rng(seed)
    length = days * 288
    log = random.normal(0, 0.004, (tokens, length)).cumsum(axis=1)
    close = np.exp(log)
    open_ = np.concatenate([np.ones((tokens, 1)), close[:, :-1]], axis=1)
    opened = np.tile(START + np.arange(length) * FIVE, tokens)
    top, low = np.maximum(open_, close), np.minimum(open_, close)
    columns = [part.ravel() for part in (open_, top, low, close)]
    return CandleRows(FIVE, np.repeat(np.arange(1, tokens + 1), length), opened, opened + FIVE, *columns)


def scored(made: CandleRows, horizon: str, seed: int, n: int = 3_000, foresight: bool = False) -> ScoredOutcomes:
    """Outcomes of signals at random moments; with foresight they know which way and how far the price will go."""
    random = np.random.default_rng(seed)
    row = random.choice(made.opened_at.size, n, replace=False)
    day = 24 * HOUR
    row = row[(made.opened_at[row] >= START + day) & (made.opened_at[row] < made.opened_at.max() - 2 * day)]
    sign = random.choice([1.0, -1.0], row.size)
    judged = JudgedSignals(made.token_id[row], made.opened_at[row] + SECOND, sign, *np.full((2, row.size), np.nan))
    prices = Prices({"5m": made}, snapshots([]), np.zeros(0, np.int64), {})
    strength, confidence = random.random(row.size), random.random(row.size)
    if foresight:
        future = judge(judged, horizon, prices, LATER).market_return
        sign = np.where(future > 0, 1.0, -1.0)
        strength = np.abs(future) / np.abs(future).max()
        judged = JudgedSignals(judged.token_id, judged.moment, sign, judged.target_usd, judged.stop_usd)
    found = judge(judged, horizon, prices, LATER)
    assert (found.status == "resolved").all()
    names = np.array(["even", "odd"])[np.arange(row.size) % 2]
    return ScoredOutcomes(
        kind=np.full(row.size, "technical"), rule=names, risk=np.full(row.size, "low"), token_id=judged.token_id, sign=sign,
        strength=strength, confidence=confidence, entry_at=found.entry_at, market_return=found.market_return,
        net_return=found.net_return, vanished=found.status == "vanished",
    )  # fmt: skip


def base_of(made: CandleRows, outcomes: ScoredOutcomes, horizon: str) -> MomentCounts:
    """The base rate's moments of the outcomes' own period, at the usual fees."""
    period = int(outcomes.entry_at.min()), int(outcomes.entry_at.max())
    return count_moments(made, horizon, period, TokenMarket({}, 0.997**2, {}))


# So few that their spans seldom overlap: the intervals take outcomes to be independent.
@pytest.mark.parametrize(("horizon", "n"), [("5m", 3_000), ("1h", 1_000), ("4h", 300)])
def test_on_a_random_walk_there_is_no_skill(horizon: str, n: int) -> None:
    inside, positive = 0, 0
    for seed in range(6):
        made = walks(seed)
        outcomes = scored(made, horizon, seed, n)
        numbers = calibrate(outcomes, base_of(made, outcomes, horizon), "chance")
        inside += numbers["hit_rate_low"] <= numbers["base_rate"] <= numbers["hit_rate_high"]
        inside += numbers["placebo_low"] <= numbers["hit_rate"] <= numbers["placebo_high"]
        inside += numbers["ic_low"] <= 0 <= numbers["ic_high"]
        inside += numbers["rank_ic_low"] <= 0 <= numbers["rank_ic_high"]
        positive += numbers["brier_skill"] > 0
    # 24 intervals of 95 %: more than five outside have a chance below 1 in 1,000 were they independent.
    assert inside >= 19
    assert positive == 0, "a confidence drawn at random is worse than the base rate"


def test_a_source_that_knows_the_future_has_it_all() -> None:
    made = walks(3)
    outcomes = scored(made, "4h", 3, foresight=True)
    numbers = calibrate(outcomes, base_of(made, outcomes, "4h"), "foresight")
    assert numbers["ic"] == pytest.approx(1, abs=1e-9)
    assert numbers["rank_ic"] == pytest.approx(1, abs=1e-9)
    assert numbers["ic_low"] > 0.999
    assert numbers["hit_rate_low"] > numbers["base_rate"]
    assert numbers["hit_rate"] > numbers["placebo_high"]
    assert numbers["mean_net_return"] > 0


def test_the_same_outcomes_give_the_same_numbers_and_another_name_other_draws() -> None:
    made = walks(1, tokens=4)
    outcomes = scored(made, "1h", 1, n=400)
    moments = base_of(made, outcomes, "1h")
    first = calibrate(outcomes, moments, "a")
    assert calibrate(outcomes, moments, "a") == first
    assert calibrate(outcomes, moments, "b")["placebo_low"] != first["placebo_low"] or (
        calibrate(outcomes, moments, "b")["ic_low"] != first["ic_low"]
    )


def test_sources_are_each_rule_and_level_and_all_of_them() -> None:
    outcomes = scored(walks(1, tokens=4), "1h", 1, n=400)
    found = {name: len(part) for name, part in sources(outcomes)}
    assert set(found) == set(itertools.product(["technical"], ["all", "even", "odd"], ["all", "low"]))
    assert found["technical", "all", "all"] == found["technical", "even", "low"] + found["technical", "odd", "all"]


def test_without_any_candle_there_is_no_base_rate() -> None:
    made = walks(1, tokens=4)
    outcomes = scored(made, "1h", 1, n=400)
    numbers = calibrate(outcomes, count_moments(market().candles["5m"], "1h", (0, LATER), FREE), "none")
    assert all(np.isnan(numbers[name]) for name in ("base_rate", "placebo_rate", "brier_skill", "buy_and_hold_return"))


def test_the_picture_is_a_png() -> None:
    lines = [ReliabilityLine("1h", [(0.4, 0.3, 20), (0.8, 0.5, 4)], 0.4), ReliabilityLine("7d", [(0.4, 0.9, 1)], None)]
    assert draw_png("hits for $1", lines).startswith(b"\x89PNG")


def test_from_recorded_candles_to_calibration(recordings: Path) -> None:
    folder = recordings / "ohlcv_bybit_50tokens"
    paths = sorted(folder.glob("*_1h.csv"))[:12]
    inside, columns = [], []
    for token, path_ in enumerate(paths, start=1):
        table = np.loadtxt(path_, delimiter=",", skiprows=1, usecols=(1, 2, 3, 4))[:-1]
        times = np.loadtxt(path_, delimiter=",", skiprows=1, usecols=0, dtype="datetime64[us]")[:-1].astype(np.int64)
        columns.append((np.full(times.size, token), times, times + HOUR, *table.T))
        hourly = analyse(path_, token)
        inside.append(as_candidates(hourly, find_rule_hits(hourly, 3_600.0)))
    hours = CandleRows(HOUR, *(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    emitted = [emit(part, RecentSignals.empty()) for part in inside]
    rows = [row for part in emitted for row in part.rows()]
    judged = JudgedSignals(
        np.array([row["token_id"] for row in rows]),
        np.array([round(row["emitted_at"].timestamp()) * SECOND for row in rows]),
        np.array([1.0 if row["direction"] == "buy" else -1.0 for row in rows]),
        np.array([row["target_usd"] for row in rows], np.float64),
        np.array([row["stop_usd"] for row in rows], np.float64),
    )
    found = judge(judged, "24h", market(longer={"1h": hours}), LATER * 2)
    assert len(found) == len(rows) > 1_000
    good = np.flatnonzero(found.status == "resolved")
    assert good.size > 0.95 * len(rows)
    assert set(found.reason[found.status == "unresolvable"]) <= {"no price soon after the signal"}
    waited = found.entry_at[good] - judged.moment[good]
    assert waited.min() >= 0
    assert waited.max() <= HOUR
    chosen = [rows[i] for i in good]
    names = {name: np.array([row[name] for row in chosen]) for name in ("kind", "rule", "risk", "strength", "confidence")}
    outcomes = ScoredOutcomes(
        kind=names["kind"], rule=names["rule"], risk=names["risk"], token_id=judged.token_id[good], sign=judged.sign[good],
        strength=names["strength"], confidence=names["confidence"], entry_at=found.entry_at[good],
        market_return=found.market_return[good], net_return=found.net_return[good], vanished=np.zeros(good.size, np.bool_),
    )  # fmt: skip
    moments = base_of(hours, outcomes, "24h")
    total = 0
    for name, part in sources(outcomes):
        numbers = calibrate(part, moments, "|".join(name))
        total += numbers["n"] if name[1:] == ("all", "all") else 0
        assert 0 <= numbers["hit_rate_low"] <= numbers["hit_rate"] <= numbers["hit_rate_high"] <= 1
        assert 0 < numbers["base_rate"] < 1
        assert numbers["placebo_low"] <= numbers["placebo_rate"] <= numbers["placebo_high"]
        assert numbers["brier_skill"] < 1
        assert (numbers["curve"] is None) is (numbers["n"] < FEWEST_OUTCOMES)
        # A correlation above this over thousands of signals would be a leak, not a skill.
        assert numbers["n"] < 1_000 or abs(numbers["rank_ic"]) < 0.3
    assert total == good.size
