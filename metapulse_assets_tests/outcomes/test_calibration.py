"""The numbers of a source: no skill found where there is none, all of it where there is, and none from after a signal."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.outcomes.base_rates import MomentCounts, TokenMarket, count_moments
from metapulse_assets.outcomes.calibration import ALL, ScoredOutcomes, SourceCodes, calibrate
from metapulse_assets.outcomes.calibration_chart import ReliabilityLine, draw_png
from metapulse_assets.outcomes.calibration_curves import FEWEST_OUTCOMES, calibrated_when_emitted
from metapulse_assets.outcomes.resolving import judge
from metapulse_assets.outcomes.rows import HORIZONS, MINUTE, SECOND, CandleRows, JudgedSignals, Prices
from metapulse_assets.signals.candidates import RecentSignals
from metapulse_assets.signals.technical import find_rule_hits
from metapulse_assets_tests.outcomes.outcome_markets import FIVE, LATER, START, candles, market, path, snapshots
from metapulse_assets_tests.outcomes.test_recorded_candles import _analyse as analyse
from metapulse_assets_tests.outcomes.test_recorded_candles import as_candidates, emit

HOUR = 60 * MINUTE
DAY = 24 * HOUR
FREE = TokenMarket({}, 1.0, {})
TECHNICAL = ("technical", ALL, ALL)


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
    row = row[(made.opened_at[row] >= START + DAY) & (made.opened_at[row] < made.opened_at.max() - 2 * DAY)]
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
        strength=strength, confidence=confidence, emitted_at=judged.moment, entry_at=found.entry_at,
        available_at=found.available_at, market_return=found.market_return, net_return=found.net_return,
        vanished=found.status == "vanished",
    )  # fmt: skip


def base_of(made: CandleRows, outcomes: ScoredOutcomes, horizon: str) -> MomentCounts:
    """The base rate's moments of the outcomes' own period, at the usual fees."""
    period = int(outcomes.entry_at.min()), int(outcomes.entry_at.max())
    return count_moments(made, horizon, period, TokenMarket({}, 0.997**2, {}))


def numbers_of(made: CandleRows, outcomes: ScoredOutcomes, horizon: str) -> dict[str, Any]:
    """The numbers of all technical signals."""
    return dict(calibrate(outcomes, horizon, base_of(made, outcomes, horizon)))[TECHNICAL]


@pytest.mark.parametrize(("horizon", "n"), [("5m", 3_000), ("1h", 3_000), ("4h", 1_500)])
def test_on_a_random_walk_there_is_no_skill(horizon: str, n: int) -> None:
    inside, skill = 0, []
    for seed in range(6):
        made = walks(seed)
        numbers = numbers_of(made, scored(made, horizon, seed, n), horizon)
        inside += numbers["hit_rate_low"] <= numbers["base_rate"] <= numbers["hit_rate_high"]
        inside += numbers["placebo_low"] <= numbers["hit_rate"] <= numbers["placebo_high"]
        inside += numbers["ic_low"] <= 0 <= numbers["ic_high"]
        inside += numbers["rank_ic_low"] <= 0 <= numbers["rank_ic_high"]
        skill.append(numbers["brier_skill"])
        assert numbers["brier_skill_raw"] < -0.1, "a confidence drawn at random is far worse than the base rate"
        assert numbers["brier_skill_low"] < 0.01
        assert numbers["n_judged"] > 0.7 * numbers["n"]
    # 24 intervals of 95 %: more than five outside have a chance below 1 in 1,000 were they independent.
    assert inside >= 19
    assert np.mean(skill) < 0.005, "what a calibrated confidence of nothing says is the base rate"
    assert min(skill) > -0.06, "and it costs no more than its learning"


def test_a_source_that_knows_the_future_has_it_all() -> None:
    made = walks(3)
    numbers = numbers_of(made, scored(made, "4h", 3, foresight=True), "4h")
    assert numbers["ic"] == pytest.approx(1, abs=1e-9)
    assert numbers["rank_ic"] == pytest.approx(1, abs=1e-9)
    assert numbers["ic_low"] > 0.999
    assert numbers["hit_rate_low"] > numbers["base_rate"]
    assert numbers["hit_rate"] > numbers["placebo_high"]
    assert numbers["mean_net_return"] > 0
    assert numbers["brier_skill_low"] > 0.1, "a curve has learnt that its signals hit more often than moments do"


def worth_following(outcomes: ScoredOutcomes, probability: Any, seed: int) -> ScoredOutcomes:
    """The same signals, each worth following with its probability, whatever the market did."""
    hit = np.random.default_rng(seed).random(len(outcomes)) < probability
    return dataclasses.replace(outcomes, net_return=np.where(hit, 0.01, -0.01))


def test_a_confidence_that_is_true_keeps_its_skill_and_one_that_boasts_is_taken_down() -> None:
    made = walks(5)
    outcomes = scored(made, "1h", 5, 3_000)
    honest = numbers_of(made, worth_following(outcomes, outcomes.confidence, 1), "1h")
    # True confidences of all sizes score a sixth; learning that they are true costs a little.
    assert honest["brier_raw"] == pytest.approx(1 / 6, abs=0.01)
    assert honest["brier"] == pytest.approx(honest["brier_raw"], abs=0.015)
    assert honest["brier_skill"] == 1 - honest["brier"] / honest["brier_base"]
    assert honest["brier_skill_low"] > 0.2
    assert honest["calibration_loss"] < 0.01
    boasting = numbers_of(made, worth_following(outcomes, 0.2 * outcomes.confidence, 1), "1h")
    assert boasting["brier_raw"] > 0.25
    assert boasting["brier"] < 0.1
    assert boasting["calibration_loss"] < 0.005


def test_shuffled_outcomes_take_the_skill_away() -> None:
    made = walks(6)
    outcomes = scored(made, "1h", 6, 3_000)
    skilled = worth_following(outcomes, outcomes.confidence, 2)
    order = np.random.default_rng(3).permutation(len(skilled))
    shuffled = dataclasses.replace(skilled, net_return=skilled.net_return[order], market_return=skilled.market_return[order])
    numbers = numbers_of(made, shuffled, "1h")
    assert numbers_of(made, skilled, "1h")["resolution"] > 0.05
    assert numbers["resolution"] < 0.01
    assert numbers["brier"] >= 0.24, "no better than a coin of the same share"
    assert numbers["ic_low"] < 0 < numbers["ic_high"]


def test_the_same_outcomes_give_the_same_numbers_in_any_order_of_sources() -> None:
    made = walks(1, tokens=4)
    outcomes = scored(made, "1h", 1, n=800)
    moments = base_of(made, outcomes, "1h")
    first = dict(calibrate(outcomes, "1h", moments))
    assert dict(calibrate(outcomes, "1h", moments)) == first
    assert len(first) == 6


def test_sources_are_each_rule_and_level_and_all_of_them() -> None:
    outcomes = scored(walks(1, tokens=4), "1h", 1, n=400)
    codes = SourceCodes.of(outcomes)
    found = {name: int(np.isin(codes.code, members).sum()) for name, members in codes.sources()}
    assert set(found) == set(itertools.product(["technical"], ["all", "even", "odd"], ["all", "low"]))
    assert found["technical", "all", "all"] == found["technical", "even", "low"] + found["technical", "odd", "all"]
    assert [codes.names[code][1] for code in codes.code] == outcomes.rule.tolist()
    assert (np.unique(codes.rule).size, np.unique(outcomes.rule[codes.rule == 0]).tolist()) == (2, ["even"])


def test_without_any_candle_there_is_no_base_rate() -> None:
    made = walks(1, tokens=4)
    outcomes = scored(made, "1h", 1, n=800)
    nothing = count_moments(market().candles["5m"], "1h", (0, LATER), FREE)
    numbers = dict(calibrate(outcomes, "1h", nothing))[TECHNICAL]
    unknown = ("base_rate", "placebo_rate", "placebo_low", "brier_skill", "brier_base", "log_loss_base", "buy_and_hold_return")
    assert all(np.isnan(numbers[name]) for name in unknown)
    assert numbers["brier"] > 0


def test_a_source_of_few_outcomes_is_not_judged() -> None:
    made = walks(1, tokens=4)
    few = scored(made, "1h", 1, n=400).take(np.arange(FEWEST_OUTCOMES - 1))
    numbers = dict(calibrate(few, "1h", base_of(made, few, "1h")))[TECHNICAL]
    assert numbers["n_judged"] == 0
    assert all(
        np.isnan(numbers[name]) for name in ("brier", "brier_raw", "brier_base", "brier_skill", "log_loss", "resolution")
    )
    assert 0 < numbers["hit_rate_low"] < numbers["hit_rate_high"] < 1


def test_what_was_learnt_afterwards_changes_nothing_that_a_signal_is_judged_by() -> None:
    made = walks(2, tokens=6)
    outcomes = scored(made, "1h", 2, n=2_000)
    random = np.random.default_rng(0)

    def said(part: ScoredOutcomes) -> Any:
        codes = SourceCodes.of(part)
        return calibrated_when_emitted(codes.rule, part.confidence, part.hit, part.emitted_at, part.available_at)

    before = said(outcomes)
    for moment in np.quantile(outcomes.emitted_at, [0.3, 0.6, 0.9]).astype(np.int64).tolist():
        earlier = outcomes.emitted_at <= moment
        after = outcomes.available_at > moment // HOUR * HOUR
        turned = np.where(after & (random.random(len(outcomes)) < 0.5), -outcomes.net_return, outcomes.net_return)
        assert ((turned > 0) != outcomes.hit).sum() > 50
        np.testing.assert_array_equal(said(dataclasses.replace(outcomes, net_return=turned))[earlier], before[earlier])
        # Nor does it matter whether what came later is there at all.
        np.testing.assert_array_equal(said(outcomes.take(earlier)), before[earlier])
    assert (~np.isnan(before)).sum() > 0.8 * len(outcomes)


def test_the_picture_is_a_png() -> None:
    lines = [
        ReliabilityLine("1h", [(0.4, 0.3, 20), (0.8, 0.5, 4)], [(0.9, 0.2, 24)], 0.4),
        ReliabilityLine("7d", [(0.4, 0.9, 1)], [], None),
    ]
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
        strength=names["strength"], confidence=names["confidence"], emitted_at=judged.moment[good],
        entry_at=found.entry_at[good], available_at=found.available_at[good], market_return=found.market_return[good],
        net_return=found.net_return[good], vanished=np.zeros(good.size, np.bool_),
    )  # fmt: skip
    moments = base_of(hours, outcomes, "24h")
    total = 0
    for name, numbers in calibrate(outcomes, "24h", moments):
        total += numbers["n"] if name[1:] == ("all", "all") else 0
        assert 0 <= numbers["hit_rate_low"] <= numbers["hit_rate"] <= numbers["hit_rate_high"] <= 1
        assert 1 <= numbers["n_effective"] <= numbers["n"]
        assert 0 < numbers["base_rate"] < 1
        assert numbers["placebo_low"] <= numbers["placebo_rate"] <= numbers["placebo_high"]
        assert numbers["n_judged"] <= max(numbers["n"] - FEWEST_OUTCOMES, 0) or name[1] == ALL
        # Confidence and correlation above these over thousands of signals would be a leak, not a skill.
        assert numbers["n_judged"] < 1_000 or numbers["brier_skill"] < 0.1
        assert numbers["n"] < 1_000 or abs(numbers["rank_ic"]) < 0.3
    assert total == good.size
