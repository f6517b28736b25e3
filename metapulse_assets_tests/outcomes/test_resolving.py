"""Outcomes of signals: held against the definition written out in plain loops, and against laws that must always hold."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.outcomes.resolving import (
    GONE_LIQUIDITY_USD,
    NO_ENTRY,
    NO_EXIT,
    NOT_TRACKED,
    NOT_WATCHING,
    POOL_DRAINED,
    POOL_FEE,
    POOL_UNSEEN,
    TRADE_USD,
    judge,
    kept_share,
    net_return,
)
from metapulse_assets.outcomes.rows import MINUTE, NEVER, SECOND, Outcomes
from metapulse_assets_tests.outcomes.outcome_markets import FIVE, LATER, START, candles, market, markets, path, signals

HOUR = 60 * MINUTE
SPAN = {"5m": FIVE, "1h": HOUR}
NAN = float("nan")
FREE = (1 - POOL_FEE) ** 2
when = st.integers(0, 80).map(lambda slot: START + slot * FIVE + 30 * SECOND)


def rows_of(found: Outcomes) -> dict[int, dict[str, Any]]:
    """The outcomes by signal."""
    names = [field.name for field in dataclasses.fields(found)]
    return {
        row: dict(zip(names, values, strict=True))
        for row, *_ in [(int(r),) for r in found.row]
        for values in [[getattr(found, name)[found.row == row].tolist()[0] for name in names]]
    }


def one(found: Outcomes) -> dict[str, Any]:
    """The only outcome."""
    assert len(found) == 1
    return rows_of(found)[0]


def plain(world: dict[str, Any], signal: Any, horizon: str, as_of: int) -> dict[str, Any] | None:
    """One outcome by its definition, without numpy and without sharing any code."""
    token, moment, sign, target, stop = signal
    span = SPAN[horizon]
    made = sorted(c for c in world["candles"] if c[0] == token and c[2] <= as_of)
    seen = sorted(s for s in world["seen"] if s[0] == token and s[2] <= as_of)
    entries = [(c[1], 0, c[3]) for c in made if c[1] >= moment] + [(s[1], 1, s[3]) for s in seen if s[1] >= moment]
    entry_at, _, entry = min(entries, default=(NEVER, 0, NAN))
    entered = entry_at - moment <= 15 * MINUTE
    due = (entry_at if entered else moment) + span
    closes = [(c[1] + FIVE, c[6]) for c in made if c[1] + FIVE <= due]
    views = [(s[1], s[3]) for s in seen if due - HOUR <= s[1] <= due + MINUTE]
    exit_at, exit_ = max(closes, default=(-NEVER, NAN))
    if views and max(views)[0] > exit_at + MINUTE:
        exit_at, exit_ = max(views)
    after = [c[1] for c in made if c[1] + FIVE > due] + [s[1] for s in seen if s[1] > due + MINUTE]
    alive = min(after, default=NEVER) <= due + HOUR
    well = exit_at > entry_at and (due - exit_at <= min(15 * MINUTE, span) or (due - exit_at <= HOUR and alive))

    def liquidity(at: int) -> float:
        known = [s for s in seen if s[1] <= at + MINUTE]
        return known[-1][4] if known and at - known[-1][1] <= HOUR else NAN

    inside = [c for c in made if c[1] >= entry_at and c[1] + FIVE <= due]
    if entered and well and due + 10 * MINUTE <= as_of:
        if liquidity(due) < 200 and not liquidity(entry_at) < 200:
            return {"status": "vanished", "reason": POOL_DRAINED, "market_return": -1.0}
        kept = (1 - 0.003) ** 2
        for amount in (liquidity(entry_at), liquidity(due)):
            kept /= 1 if math.isnan(amount) else 1 + 200 / max(amount, 200)
        ratio = exit_ / entry
        touched = "" if math.isnan(target) else "neither"
        for _, _, _, _, high, low, _ in inside:
            hit, lost = (high >= target, low <= stop) if sign > 0 else (low <= target, high >= stop)
            if hit or lost:
                touched = "stop" if lost else "target"
                break
        way = [sign * (c[place] / entry - 1) for c in inside for place in (4, 5)] + [0.0, sign * (ratio - 1)]
        return {
            "status": "resolved", "reason": "", "timeframe": "5m", "entry_at": entry_at, "entry_usd": entry,
            "exit_at": exit_at, "exit_usd": exit_, "market_return": ratio - 1, "first_touch": touched,
            "net_return": ratio * kept - 1 if sign > 0 else 1 - ratio / kept,
            "best_return": max(way), "worst_return": min(way),
        }  # fmt: skip
    if due + HOUR > as_of or (entered and well):
        return None
    last = exit_at if exit_at > entry_at else entry_at
    looks = sum(max(last, due - HOUR) < look <= due + HOUR for look in world["looked"])
    first, until = world["asked"].get(token, (NEVER, -NEVER))
    asked = first <= due <= until
    if entered and not alive and looks >= 6 and asked:
        return {"status": "vanished", "reason": POOL_UNSEEN, "market_return": -1.0}
    reason = NO_ENTRY if not entered else NOT_WATCHING if looks < 6 else NOT_TRACKED if not asked else NO_EXIT
    return {"status": "unresolvable", "reason": reason}


def prices_of(world: dict[str, Any]) -> Any:
    """The world as prices."""
    return market(world["candles"], world["seen"], world["looked"], world["asked"])


@settings(max_examples=150)
@given(markets(), st.sampled_from(["5m", "1h"]), when)
def test_outcomes_are_those_of_the_definition(world: dict[str, Any], horizon: str, as_of: int) -> None:
    found = rows_of(judge(signals(*world["signals"]), horizon, prices_of(world), as_of))
    for row, signal in enumerate(world["signals"]):
        expected = plain(world, signal, horizon, as_of)
        assert (row in found) is (expected is not None), (signal, expected)
        for name, value in (expected or {}).items():
            assert found[row][name] == (pytest.approx(value, abs=1e-12) if isinstance(value, float) else value), name


@settings(max_examples=80)
@given(markets(), markets(), st.sampled_from(["5m", "1h"]), when, st.randoms())
def test_rows_usable_later_and_the_order_of_rows_change_nothing(
    world: dict[str, Any], other: dict[str, Any], horizon: str, as_of: int, random: Any
) -> None:
    judged = signals(*world["signals"])
    before = rows_of(judge(judged, horizon, prices_of(world), as_of))
    have = {row[:2] for row in (*world["candles"], *world["seen"])}
    late_candles = [(*c[:2], max(c[2], as_of + 1), *c[3:]) for c in other["candles"] if c[:2] not in have]
    late_views = [(*s[:2], max(s[2], as_of + 1), *s[3:]) for s in other["seen"] if s[:2] not in have]
    more = {**world, "candles": world["candles"] + late_candles, "seen": world["seen"] + late_views}
    random.shuffle(more["candles"])
    random.shuffle(more["seen"])
    after = rows_of(judge(judged, horizon, prices_of(more), as_of))
    assert repr(after) == repr(before)


@settings(max_examples=80)
@given(markets(), st.sampled_from(["5m", "1h"]))
def test_what_was_resolved_rests_on_nothing_from_before_the_signal_nor_from_later(world: dict[str, Any], horizon: str) -> None:
    judged = signals(*world["signals"])
    for row, outcome in rows_of(judge(judged, horizon, prices_of(world), LATER)).items():
        if outcome["status"] == "unresolvable":
            assert math.isnan(outcome["net_return"])
            continue
        assert judged.moment[row] <= outcome["entry_at"] <= outcome["exit_at"] <= outcome["available_at"]
        assert outcome["worst_return"] <= 0 <= outcome["best_return"]
        gross = judged.sign[row] * (outcome["exit_usd"] / outcome["entry_usd"] - 1)
        assert outcome["worst_return"] <= gross + 1e-12
        assert gross <= outcome["best_return"] + 1e-12
        assert outcome["net_return"] <= gross, "costs gave something"
        assert judged.sign[row] < 0 or outcome["net_return"] >= -1
        if outcome["status"] == "resolved":
            again = rows_of(judge(judged, horizon, prices_of(world), outcome["available_at"]))
            assert again[row]["entry_usd"] == outcome["entry_usd"]


@given(st.floats(0.01, 100), st.floats(0, 1e9), st.floats(0, 1e9))
def test_costs_are_a_share_and_grow_as_the_pool_shrinks(ratio: float, liquidity: float, more: float) -> None:
    amounts = np.array([liquidity, liquidity + more, NAN])
    kept = kept_share(amounts, np.array([NAN, NAN, NAN]))
    assert 0 < kept[0] <= kept[1] <= kept[2] == pytest.approx(FREE)
    there_and_back = net_return(np.array([1.0, -1.0]), np.array([ratio, ratio]), kept[:1].repeat(2))
    assert there_and_back[0] <= ratio - 1
    assert there_and_back[1] <= 1 - ratio


def test_slippage_is_that_of_a_constant_product_pool() -> None:
    side = 5_000.0
    # Paying 100 into a side of 5,000: tokens out = y·100 / 5,100, at a price of 5,100 / y, 1.02 times the one before.
    assert kept_share(np.array([2 * side]), np.array([NAN]))[0] == pytest.approx(FREE * side / (side + TRADE_USD))


RISING = [100.0 + i for i in range(200)]
ALWAYS = [START + i * FIVE for i in range(200)]


def test_a_buy_and_a_sell_over_an_hour_of_a_rising_price() -> None:
    judged = signals((1, START + 10 * SECOND, 1.0, 111.0, 90.0), (1, START + 10 * SECOND, -1.0, 90.0, 105.0))
    found = rows_of(judge(judged, "1h", market(path(RISING)), LATER))
    # Entry at the open of the second candle, 100; exit at the close of the twelfth after, 112.
    assert found[0]["entry_at"] == START + FIVE
    assert (found[0]["entry_usd"], found[0]["exit_usd"]) == (100.0, 112.0)
    assert found[0]["net_return"] == pytest.approx(1.12 * FREE - 1)
    assert found[1]["net_return"] == pytest.approx(1 - 1.12 / FREE)
    assert (found[0]["best_return"], found[0]["worst_return"]) == (pytest.approx(0.12), 0)
    assert (found[0]["first_touch"], found[1]["first_touch"]) == ("target", "stop")


def test_a_horizon_that_has_not_passed_has_no_row() -> None:
    prices = market(path(RISING))
    judged = signals((1, START, 1.0, NAN, NAN))
    assert len(judge(judged, "1h", prices, START + HOUR + 9 * MINUTE)) == 0
    assert one(judge(judged, "1h", prices, START + HOUR + 10 * MINUTE))["status"] == "resolved"


def test_target_and_stop_in_one_candle_count_as_the_stop() -> None:
    row = (1, START, START + FIVE, 100.0, 120.0, 80.0, 100.0)
    judged = signals((1, START, 1.0, 110.0, 90.0), (1, START, -1.0, 90.0, 110.0))
    found = judge(judged, "5m", market([row]), LATER)
    assert found.first_touch.tolist() == ["stop", "stop"]


@pytest.mark.parametrize(("sign", "net"), [(1.0, -1.0), (-1.0, 1 - 0.9 / FREE)])
def test_a_pool_that_is_asked_for_and_not_seen_again_vanished(sign: float, net: float) -> None:
    until_gone = path([100.0, 100.0, 95.0, 90.0])
    found = one(judge(signals((1, START, sign, NAN, NAN)), "1h", market(until_gone, looked=ALWAYS), LATER))
    assert (found["status"], found["reason"]) == ("vanished", POOL_UNSEEN)
    assert found["market_return"] == -1
    assert found["net_return"] == pytest.approx(net)
    assert found["worst_return"] == (-1 if sign > 0 else 0)


def test_a_pool_unseen_because_nobody_looked_or_asked_is_unresolvable() -> None:
    gone, judged = path([100.0, 100.0, 95.0]), signals((1, START, 1.0, NAN, NAN))
    assert one(judge(judged, "1h", market(gone), LATER))["reason"] == NOT_WATCHING
    assert one(judge(judged, "1h", market(gone, looked=ALWAYS, asked={}), LATER))["reason"] == NOT_TRACKED
    back = [*gone, (1, START + 2 * HOUR - FIVE, START + 2 * HOUR, 9.0, 9.0, 9.0, 9.0)]
    quiet = market(back, looked=ALWAYS)
    assert one(judge(judged, "1h", quiet, LATER))["exit_usd"] == 95.0, "an hour without a trade leaves the price"
    assert one(judge(judged, "4h", market(back, looked=ALWAYS, asked={}), LATER))["reason"] == NOT_TRACKED
    assert one(judge(signals((1, START + HOUR, 1.0, NAN, NAN)), "1h", quiet, LATER))["reason"] == NO_ENTRY


def test_it_is_decided_that_a_pool_vanished_only_when_it_had_time_to_come_back() -> None:
    prices = market(path([100.0, 100.0]), looked=ALWAYS)
    judged = signals((1, START, 1.0, NAN, NAN))
    assert len(judge(judged, "1h", prices, START + 2 * HOUR - 1)) == 0
    assert one(judge(judged, "1h", prices, START + 2 * HOUR))["status"] == "vanished"


@pytest.mark.parametrize(("sign", "net"), [(1.0, -1.0), (-1.0, 1 - 0.8 / (FREE / 1.004))])
def test_a_drained_pool_vanished_and_a_seller_gets_no_more_than_could_be_traded(sign: float, net: float) -> None:
    seen = [(1, START + i * FIVE, START + i * FIVE, p, liquidity) for i, (p, liquidity) in enumerate(
        [(100.0, 50_000.0)] * 6 + [(80.0, 50_000.0)] * 2 + [(1.0, GONE_LIQUIDITY_USD - 1)] * 10)]  # fmt: skip
    found = one(judge(signals((1, START, sign, NAN, NAN)), "1h", market(seen=seen, looked=ALWAYS), LATER))
    assert (found["status"], found["reason"]) == ("vanished", POOL_DRAINED)
    assert found["exit_usd"] == 80.0
    assert found["net_return"] == pytest.approx(net)


def test_longer_candles_stand_in_for_missing_ones_but_not_for_shorter_horizons() -> None:
    hours = candles(path(RISING, step=HOUR), "1h")
    judged = signals((1, START + 1, 1.0, NAN, NAN))
    prices = market(longer={"1h": hours})
    four = one(judge(judged, "4h", prices, LATER))
    assert (four["timeframe"], four["entry_usd"], four["exit_usd"]) == ("1h", 100.0, 104.0)
    assert one(judge(judged, "5m", prices, LATER))["reason"] == NO_ENTRY


def test_a_snapshot_is_the_entry_where_it_is_earlier_than_a_candle() -> None:
    seen = [(1, START + 60 * SECOND, START + 60 * SECOND, 99.0, NAN)]
    found = one(judge(signals((1, START + 1, 1.0, NAN, NAN)), "5m", market(path(RISING), seen), LATER))
    assert (found["entry_at"], found["entry_usd"]) == (START + 60 * SECOND, 99.0)
