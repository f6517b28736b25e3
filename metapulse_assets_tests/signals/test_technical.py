"""Each rule on crafted candles, and the laws that hold for all of them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metapulse_assets.indicators.bars import MAX_GAP_INTERVALS
from metapulse_assets.signals.analysed_candles import VALUE_COLUMNS, WARM_UP_BARS
from metapulse_assets.signals.technical import RULES, RuleHits, find_rule_hits
from metapulse_assets_tests.signals.analyses import (
    INTERVAL,
    QUIET,
    START,
    Columns,
    crafted,
    joined,
    random_analyses,
    rows_of,
)

Change = dict[str, float]

# rule, previous candle, candle on which it fires, the same just not far enough
CASES: list[tuple[str, Change, Change, Change]] = [
    ("rsi_oversold", {"rsi_14": 30.0}, {"rsi_14": 29.9}, {"rsi_14": 30.0}),
    ("rsi_overbought", {"rsi_14": 70.0}, {"rsi_14": 70.1}, {"rsi_14": 70.0}),
    (
        "macd_bullish_cross",
        {"macd": -0.1, "macd_signal": -0.1},
        {"macd": -0.04, "macd_signal": -0.05},
        {"macd": -0.05, "macd_signal": -0.05},
    ),
    (
        "macd_bearish_cross",
        {"macd": 0.2, "macd_signal": 0.1},
        {"macd": 0.1, "macd_signal": 0.15},
        {"macd": 0.15, "macd_signal": 0.15},
    ),
    ("golden_cross", {"sma_20": 99.0}, {"sma_20": 100.1}, {"sma_20": 100.0}),
    ("death_cross", {"sma_20": 101.0}, {"sma_20": 99.9}, {"sma_20": 100.0}),
    (
        "resistance_breakout",
        {"resistance_20": 100.0},
        {"resistance_20": 100.0, "close": 102.0},
        {"resistance_20": 100.0, "close": 101.9},
    ),
    (
        "support_breakdown",
        {"support_20": 100.0},
        {"support_20": 100.0, "close": 98.0},
        {"support_20": 100.0, "close": 98.1},
    ),
    ("support_bounce", {"support_20": 99.0}, {"close": 102.0}, {"close": 101.9}),
    ("resistance_rejection", {"resistance_20": 101.0}, {"close": 98.0}, {"close": 98.1}),
    ("momentum_up", {"roc_10": 15.0}, {"roc_10": 15.1}, {"roc_10": 15.0}),
    ("momentum_down", {"roc_10": -15.0}, {"roc_10": -15.1}, {"roc_10": -15.0}),
    (
        "volume_spike_up",
        {"volume_ratio_20": 2.9},
        {"volume_ratio_20": 3.0, "close": 100.1},
        {"volume_ratio_20": 2.9, "close": 100.1},
    ),
    (
        "volume_spike_down",
        {"volume_ratio_20": 2.9},
        {"volume_ratio_20": 3.0, "close": 99.9},
        {"volume_ratio_20": 3.0, "close": 100.0},
    ),
]
NAMES = [case[0] for case in CASES]


def hits_by_rule(columns: Columns) -> dict[str, list[int]]:
    """The rows on which each rule fired."""
    hits = find_rule_hits(columns, INTERVAL)
    found: dict[str, list[int]] = {}
    for rule, row in zip(hits.rule.tolist(), hits.row.tolist(), strict=True):
        found.setdefault(rule, []).append(row)
    return found


def as_set(hits: RuleHits, columns: Columns) -> set[Any]:
    """Everything a hit says, with its candle in place of its row number."""
    token, opened = columns["token_id"].tolist(), columns["opened_at"].tolist()
    return {
        (
            token[hits.row[i]],
            opened[hits.row[i]],
            None if hits.previous_row[i] < 0 else opened[hits.previous_row[i]],
            str(hits.rule[i]),
            str(hits.direction[i]),
            float(hits.strength[i]),
            float(hits.confidence[i]),
            tuple(hits.inputs[i].items()),
        )
        for i in range(len(hits))
    }


def test_every_rule_has_a_case() -> None:
    assert [rule.name for rule in RULES] == NAMES


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=NAMES)
def test_rule_fires_at_its_threshold_and_not_short_of_it(rule: str, before: Change, fires: Change, does_not: Change) -> None:
    assert hits_by_rule(crafted(before, fires)) == {rule: [1]}
    assert hits_by_rule(crafted(before, does_not)) == {}


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=NAMES)
def test_rule_fires_once_while_the_state_lasts(rule: str, before: Change, fires: Change, does_not: Change) -> None:
    assert hits_by_rule(crafted(before, fires, fires)).get(rule) == [1]


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=NAMES)
def test_direction_is_the_rules_own(rule: str, before: Change, fires: Change, does_not: Change) -> None:
    sells = {"rsi_overbought", "macd_bearish_cross", "death_cross", "support_breakdown", "resistance_rejection"}
    sells |= {"momentum_down", "volume_spike_down"}
    hits = find_rule_hits(crafted(before, fires), INTERVAL)
    assert hits.direction.tolist() == ["sell" if rule in sells else "buy"]


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=NAMES)
def test_no_signal_while_a_value_it_reads_is_unknown(rule: str, before: Change, fires: Change, does_not: Change) -> None:
    reads = next(r for r in RULES if r.name == rule)
    for name in reads.reads:
        for nothing in (np.nan, np.inf, -np.inf):
            assert rule not in hits_by_rule(crafted(before, {**fires, name: nothing})), name
    if reads.needs_before:
        for name in reads.reads_before:
            assert rule not in hits_by_rule(crafted({**before, name: np.nan}, fires)), name


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=NAMES)
def test_no_signal_before_the_values_are_warmed_up(rule: str, before: Change, fires: Change, does_not: Change) -> None:
    reads = next(r for r in RULES if r.name == rule)
    bars = max(WARM_UP_BARS.get(name, 1) for name in (*reads.reads, *reads.reads_before))
    # One bar more, so that the previous candle is warmed up as well.
    assert hits_by_rule(crafted(before, fires, bar_count=bars)).get(rule) == [1]
    assert hits_by_rule(crafted(before, fires, bar_count=bars - 2)).get(rule) is None


@pytest.mark.parametrize(
    ("column", "bars"), [("rsi_14", 150), ("macd", 150), ("adx_14", 150), ("ema_200", 800), ("sma_50", 50)]
)
def test_warm_up_is_what_was_measured(column: str, bars: int) -> None:
    assert WARM_UP_BARS[column] == bars


CROSSES = {"macd_bullish_cross", "macd_bearish_cross", "golden_cross", "death_cross"}
NEED_BEFORE = CROSSES | {"support_bounce", "resistance_rejection", "volume_spike_up", "volume_spike_down"}


@pytest.mark.parametrize(("rule", "before", "fires", "does_not"), CASES, ids=NAMES)
def test_a_previous_candle_counts_within_five_intervals(rule: str, before: Change, fires: Change, does_not: Change) -> None:
    near = crafted(before, {**fires, "opened_at": START + 5 * INTERVAL})
    far = crafted(before, {**fires, "opened_at": START + 5 * INTERVAL + 1})
    assert hits_by_rule(near) == {rule: [1]}
    assert hits_by_rule(far) == ({} if rule in NEED_BEFORE else {rule: [1]})


def test_entering_a_state_after_a_long_gap_is_an_event_again() -> None:
    oversold = {"rsi_14": 20.0}
    columns = crafted(oversold, oversold, {**oversold, "opened_at": START + (2 + MAX_GAP_INTERVALS) * INTERVAL})
    hits = find_rule_hits(columns, INTERVAL)
    assert hits.row.tolist() == [0, 2]
    assert hits.previous_row.tolist() == [-1, -1]
    assert hits.inputs == [{"rsi_14": 20.0}, {"rsi_14": 20.0}]


def test_the_previous_candle_of_another_token_is_none() -> None:
    columns = joined(crafted({"sma_20": 99.0}, token_id=1), crafted({"sma_20": 101.0}, token_id=2))
    assert hits_by_rule(columns) == {}


def test_inputs_are_the_values_that_the_rule_read() -> None:
    columns = crafted({"sma_20": 99.0, "sma_50": 99.5}, {"sma_20": 100.1})
    hits = find_rule_hits(columns, INTERVAL)
    assert hits.inputs == [
        {
            "sma_20": 100.1,
            "sma_50": 100.0,
            "bb_upper": 104.0,
            "bb_lower": 96.0,
            "previous_sma_20": 99.0,
            "previous_sma_50": 99.5,
        }
    ]
    assert all(type(value) is float for value in hits.inputs[0].values())


@pytest.mark.parametrize(
    ("before", "steps", "strengths"),
    [
        ({}, [{"rsi_14": 29.0}, {"rsi_14": 25.0}, {"rsi_14": 20.0}, {"rsi_14": 3.0}], [0.1, 0.5, 1.0, 1.0]),
        ({}, [{"rsi_14": 71.0}, {"rsi_14": 80.0}], [0.1, 1.0]),
        ({}, [{"roc_10": 16.0}, {"roc_10": 25.0}, {"roc_10": 35.0}, {"roc_10": 500_822.0}], [0.05, 0.5, 1.0, 1.0]),
        ({}, [{"roc_10": -25.0}], [0.5]),
        ({}, [{"macd": 0.1}, {"macd": 0.2}, {"macd": 9.0}], [0.5, 1.0, 1.0]),
        ({"sma_20": 99.0}, [{"sma_20": 100.16}, {"sma_20": 100.32}], [0.5, 1.0]),
        ({}, [{"resistance_20": 100.0, "close": 106.0}, {"resistance_20": 100.0, "close": 110.0}], [0.5, 1.0]),
        ({}, [{"support_20": 100.0, "close": 94.0}], [0.5]),
        ({"support_20": 99.0}, [{"close": 106.0}], [0.5]),
        ({"resistance_20": 101.0}, [{"close": 94.0}], [0.5]),
        ({}, [{"volume_ratio_20": 6.5, "close": 101.0}, {"volume_ratio_20": 10.0, "close": 101.0}], [0.5, 1.0]),
    ],
)
def test_strength_grows_with_the_distance_up_to_one(before: Change, steps: list[Change], strengths: list[float]) -> None:
    for step, strength in zip(steps, strengths, strict=True):
        hits = find_rule_hits(crafted(before, step), INTERVAL)
        assert hits.strength.tolist() == pytest.approx([strength], abs=1e-6)


@given(st.lists(st.floats(0, 29.99), min_size=2, max_size=20))
def test_strength_never_falls_as_the_distance_grows(values: list[float]) -> None:
    values.sort(reverse=True)
    strengths = [find_rule_hits(crafted({}, {"rsi_14": value}), INTERVAL).strength[0] for value in values]
    assert strengths == sorted(strengths)


def test_a_touch_needs_a_level_that_was_there_before() -> None:
    # The close lies on the lowest low of the candles up to and with its own, but far from the level known before it.
    columns = crafted({"support_20": 105.0}, {"support_20": 100.0, "close": 103.0})
    assert "support_bounce" not in hits_by_rule(columns)


def test_a_close_below_the_support_is_no_touch() -> None:
    assert hits_by_rule(crafted({"support_20": 100.5}, {"close": 103.0})) == {}


def test_volume_spike_needs_a_move() -> None:
    assert hits_by_rule(crafted({}, {"volume_ratio_20": 9.0})) == {}


def test_two_rules_on_one_candle_come_in_the_order_of_the_rules() -> None:
    hits = find_rule_hits(crafted({}, {"roc_10": 20.0, "rsi_14": 80.0}, {"rsi_14": 20.0}), INTERVAL)
    assert hits.row.tolist() == [1, 1, 2]
    assert hits.rule.tolist() == ["rsi_overbought", "momentum_up", "rsi_oversold"]


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 35))
def test_later_candles_change_nothing_earlier(seed: int, cut: int) -> None:
    columns = random_analyses(seed)
    opened = columns["opened_at"]
    moment = np.sort(opened)[cut]
    whole = find_rule_hits(columns, INTERVAL)
    then = rows_of(columns, opened <= moment)
    seen_then = as_set(find_rule_hits(then, INTERVAL), then)
    assert seen_then == {hit for hit in as_set(whole, columns) if hit[1] <= moment}
    assert len(whole)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_tokens_do_not_influence_each_other(seed: int) -> None:
    columns = random_analyses(seed)
    alone = set()
    for token in np.unique(columns["token_id"]):
        own = rows_of(columns, columns["token_id"] == token)
        alone |= as_set(find_rule_hits(own, INTERVAL), own)
    assert alone == as_set(find_rule_hits(columns, INTERVAL), columns)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_one_candle_of_context_is_enough(seed: int) -> None:
    columns = random_analyses(seed, tokens=1)
    whole = as_set(find_rule_hits(columns, INTERVAL), columns)
    for row in range(1, len(columns["token_id"])):
        pair = rows_of(columns, [row - 1, row])
        opened = pair["opened_at"][1]
        found = {hit for hit in as_set(find_rule_hits(pair, INTERVAL), pair) if hit[1] == opened}
        # The state of the previous candle is its own: it is judged by that candle's values alone.
        assert found == {hit for hit in whole if hit[1] == opened}


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_every_hit_is_within_bounds_and_knows_its_inputs(seed: int) -> None:
    columns = random_analyses(seed)
    hits = find_rule_hits(columns, INTERVAL)
    reads = {rule.name: rule for rule in RULES}
    assert ((hits.strength >= 0) & (hits.strength <= 1)).all()
    assert ((hits.confidence >= 0) & (hits.confidence <= 1)).all()
    assert hits.strength.dtype == hits.confidence.dtype == np.float32
    for i, inputs in enumerate(hits.inputs):
        rule, row, before = reads[str(hits.rule[i])], hits.row[i], hits.previous_row[i]
        assert set(rule.reads) <= set(inputs)
        assert set(inputs) <= set(rule.reads) | {f"previous_{name}" for name in rule.reads_before}
        for name, value in inputs.items():
            source = before if name.startswith("previous_") else row
            assert value == columns[name.removeprefix("previous_")][source]


def test_no_candles_give_no_hits() -> None:
    hits = find_rule_hits(rows_of(crafted({}), [False]), INTERVAL)
    assert len(hits) == 0
    assert hits.inputs == []


@pytest.mark.parametrize("name", ["token_id", "opened_at", "bar_count", *VALUE_COLUMNS])
def test_a_missing_column_is_named(name: str) -> None:
    columns = crafted({})
    del columns[name]
    with pytest.raises(KeyError, match=name):
        find_rule_hits(columns, INTERVAL)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (crafted({}, {"opened_at": START}), r"opened_at: row 1 .*does not come after row 0"),
        (joined(crafted({}, token_id=2), crafted({}, token_id=1)), r"opened_at: row 1 \(token 1"),
        (crafted({}, {"opened_at": np.nan}), "opened_at: row 1 is nan"),
        ({**crafted({}, {}), "rsi_14": np.array([1.0])}, "rsi_14: expected one value for each of 2 rows"),
    ],
)
def test_impossible_input_is_refused(columns: Columns, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_rule_hits(columns, INTERVAL)


def test_an_impossible_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="interval_seconds"):
        find_rule_hits(crafted({}), 0)


def test_a_price_of_zero_is_no_price() -> None:
    assert hits_by_rule(crafted({"close": 100.0}, {"close": 0.0, "volume_ratio_20": 9.0})) == {}


def test_the_quiet_candle_is_complete() -> None:
    assert set(QUIET) == set(VALUE_COLUMNS)
