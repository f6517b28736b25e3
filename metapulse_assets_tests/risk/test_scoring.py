"""The risk of a snapshot: hard fails, factors, bands, and what is unknown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metapulse_assets.risk.scoring import (
    DAY,
    FACTORS,
    HARD_FAILS,
    HIGH_FROM,
    LEVELS,
    MEDIUM_FROM,
    METRIC_COLUMNS,
    MIN_KNOWN_SHARE,
    SECURITY_COLUMNS,
    SECURITY_FLAGS,
    SECURITY_SHARES,
    RiskTable,
    assess,
    concatenate,
    stored_assessments,
)
from metapulse_assets.risk.security import facts_of_solana_token
from metapulse_assets.vendors.goplus import SOLANA_TOKENS, tokens_of

NAN = float("nan")

SOUND: dict[str, Any] = {
    "liquidity_usd": 2_000_000.0,
    "fdv_usd": 15_000_000.0,
    "market_cap_usd": 12_000_000.0,
    "volume_h24_usd": 900_000.0,
    "buys_h24": 900.0,
    "sells_h24": 850.0,
    "price_change_h24_pct": 3.0,
    "pool_age_seconds": 200 * DAY,
    "on_bonding_curve": False,
    **dict.fromkeys(SECURITY_FLAGS, 0.0),
    **dict.fromkeys(SECURITY_SHARES, 0.0),
    "lp_locked_share": 1.0,
}
"""A token in which every factor is as safe as it gets."""
WHOLE = 140
NO_REPORT = dict.fromkeys(SECURITY_COLUMNS, NAN)


def snapshots(*changes: dict[str, Any]) -> dict[str, Any]:
    """Columns of sound tokens but for their changes."""
    return {name: np.array([{**SOUND, **change}[name] for change in changes]) for name in SOUND}


def one(**change: Any) -> RiskTable:
    """The assessment of one token."""
    return assess(snapshots(change))


def test_weights_are_whole_numbers() -> None:
    assert sum(factor.weight for factor in FACTORS) == WHOLE


def test_a_sound_token_is_low() -> None:
    table = one()
    assert table.level.tolist() == ["low"]
    assert table.score.tolist() == [0.0]
    assert table.known_share.tolist() == [1.0]
    assert table.hard_fail.tolist() == [None]
    assert table.factors() == [{factor.name: 0.0 for factor in FACTORS}]


@pytest.mark.parametrize(
    ("change", "fail"),
    [
        ({"liquidity_usd": 999.0}, "no_liquidity"),
        ({"liquidity_usd": 0.0}, "no_liquidity"),
        ({"liquidity_usd": 1_000.0}, None),
        ({"liquidity_usd": 999.0, "on_bonding_curve": True}, None),
        ({"liquidity_usd": NAN}, None),
        ({"buys_h24": 20.0, "sells_h24": 0.0}, "no_sells"),
        ({"buys_h24": 19.0, "sells_h24": 0.0}, None),
        ({"buys_h24": 20.0, "sells_h24": 1.0}, None),
        ({"buys_h24": 20.0, "sells_h24": NAN}, None),
        ({"price_change_h24_pct": -90.0}, "price_collapse"),
        ({"price_change_h24_pct": -89.9}, None),
        ({"price_change_h24_pct": NAN}, None),
        ({"buys_h24": 0.0, "sells_h24": 0.0}, "no_trades"),
        ({"buys_h24": 0.0, "sells_h24": 1.0}, None),
        ({"buys_h24": 0.0, "sells_h24": NAN}, None),
        ({"sell_tax": 0.5}, "confiscatory_tax"),
        ({"sell_tax": 0.49}, None),
        ({"transfer_fee": 0.9, "sell_tax": NAN}, "confiscatory_tax"),
        ({"buy_tax": 0.9}, None),
        ({"mint_authority": 1.0}, "mint_authority"),
        ({"freeze_authority": 1.0}, "freeze_authority"),
        ({"owner_can_change": 1.0}, "owner_can_change"),
        ({"mint_authority": 1.0, "freeze_authority": 1.0, "owner_can_change": 1.0, "trusted": 1.0}, None),
        ({"mint_authority": 1.0, "trusted": NAN}, "mint_authority"),
        ({"mint_authority": NAN, "honeypot": NAN}, None),
        ({"honeypot": 1.0, "trusted": 1.0}, "honeypot"),
        ({"rugged": 1.0, "trusted": 1.0}, "rugged"),
        ({"sell_tax": 0.6, "trusted": 1.0}, "confiscatory_tax"),
        ({"honeypot": 1.0, "mint_authority": 1.0, "liquidity_usd": 0.0}, "honeypot"),
        ({"liquidity_usd": 10.0, "buys_h24": 50.0, "sells_h24": 0.0, "price_change_h24_pct": -99.0}, "no_liquidity"),
    ],
)
def test_hard_fail(change: dict[str, Any], fail: str | None) -> None:
    table = one(**change)
    assert table.hard_fail.tolist() == [fail]
    if fail:
        assert table.level.tolist() == ["high"]
    else:
        assert table.level.tolist() != ["high"]


def test_every_hard_fail_has_been_seen() -> None:
    said = [
        {name: 1.0} for name in ("rugged", "honeypot", "sell_tax", "mint_authority", "freeze_authority", "owner_can_change")
    ]
    failing = (
        *said,
        {"liquidity_usd": 0.0},
        {"sells_h24": 0.0},
        {"price_change_h24_pct": -95.0},
        {"buys_h24": 0.0, "sells_h24": 0.0},
    )
    assert assess(snapshots(*failing)).hard_fail.tolist() == list(HARD_FAILS)


@pytest.mark.parametrize(
    ("factor", "change", "points"),
    [
        ("liquidity", {"liquidity_usd": 999.0, "on_bonding_curve": True}, 1.0),
        ("liquidity", {"liquidity_usd": 1_000.0}, 0.75),
        ("liquidity", {"liquidity_usd": 4_999.0}, 0.75),
        ("liquidity", {"liquidity_usd": 5_000.0}, 0.5),
        ("liquidity", {"liquidity_usd": 10_000.0}, 0.25),
        ("liquidity", {"liquidity_usd": 249_999.0}, 0.25),
        ("liquidity", {"liquidity_usd": 250_000.0}, 0.0),
        ("liquidity", {"liquidity_usd": NAN}, None),
        ("liquidity_to_fdv", {"fdv_usd": 2e6 / 0.049}, 1.0),
        ("liquidity_to_fdv", {"fdv_usd": 2e6 / 0.0625}, 0.5),
        ("liquidity_to_fdv", {"fdv_usd": 2e6 / 0.125}, 0.0),
        ("liquidity_to_fdv", {"fdv_usd": NAN, "market_cap_usd": 2e6 / 0.04}, 1.0),
        ("liquidity_to_fdv", {"fdv_usd": NAN, "market_cap_usd": NAN}, None),
        ("liquidity_to_fdv", {"fdv_usd": 0.0}, None),
        ("pool_age", {"pool_age_seconds": DAY - 1}, 1.0),
        ("pool_age", {"pool_age_seconds": -5.0}, 1.0),
        ("pool_age", {"pool_age_seconds": DAY}, 0.5),
        ("pool_age", {"pool_age_seconds": 7 * DAY}, 0.0),
        ("pool_age", {"pool_age_seconds": NAN}, None),
        ("volume_to_liquidity", {"volume_h24_usd": 0.04 * 2e6}, 0.5),
        ("volume_to_liquidity", {"volume_h24_usd": 4.9 * 2e6}, 0.0),
        ("volume_to_liquidity", {"volume_h24_usd": 5.1 * 2e6}, 1.0),
        ("volume_to_liquidity", {"volume_h24_usd": NAN}, None),
        ("volume_to_liquidity", {"liquidity_usd": 0.0}, None),
        ("buy_sell_imbalance", {"buys_h24": 74.0, "sells_h24": 26.0}, 0.0),
        ("buy_sell_imbalance", {"buys_h24": 75.0, "sells_h24": 25.0}, 0.5),
        ("buy_sell_imbalance", {"buys_h24": 10.0, "sells_h24": 90.0}, 1.0),
        ("buy_sell_imbalance", {"buys_h24": 18.0, "sells_h24": 1.0}, None),
        ("price_change", {"price_change_h24_pct": -49.0}, 0.0),
        ("price_change", {"price_change_h24_pct": -50.0}, 0.5),
        ("price_change", {"price_change_h24_pct": 100.0}, 1.0),
        ("price_change", {"price_change_h24_pct": 500_822.0}, 1.0),
        ("price_change", {"price_change_h24_pct": NAN}, None),
        ("trades", {"buys_h24": 10.0, "sells_h24": 9.0}, 1.0),
        ("trades", {"buys_h24": 50.0, "sells_h24": 49.0}, 0.5),
        ("trades", {"buys_h24": 50.0, "sells_h24": 50.0}, 0.0),
        ("trades", {"buys_h24": NAN}, None),
        ("authorities", {"mint_authority": 1.0}, 1.0),
        ("authorities", {"freeze_authority": NAN}, None),
        ("authorities", {"freeze_authority": NAN, "mint_authority": 1.0}, 1.0),
        ("authorities", {"owner_can_change": NAN}, 0.0),
        ("authorities", {"mint_authority": 1.0, "trusted": 1.0}, 0.0),
        ("tax", {"sell_tax": 0.09}, 0.0),
        ("tax", {"sell_tax": 0.10}, 0.5),
        ("tax", {"buy_tax": 0.25}, 1.0),
        ("tax", {"transfer_fee": 0.12, "buy_tax": NAN, "sell_tax": NAN}, 0.5),
        ("tax", {"transfer_fee": NAN, "buy_tax": NAN, "sell_tax": NAN}, None),
        ("top10_holders", {"top10_holder_share": 0.29}, 0.0),
        ("top10_holders", {"top10_holder_share": 0.30}, 0.5),
        ("top10_holders", {"top10_holder_share": 0.50}, 0.75),
        ("top10_holders", {"top10_holder_share": 0.80}, 1.0),
        ("top10_holders", {"top10_holder_share": NAN}, None),
        ("lp_locked", {"lp_locked_share": 0.49}, 1.0),
        ("lp_locked", {"lp_locked_share": 0.50}, 0.5),
        ("lp_locked", {"lp_locked_share": 0.90}, 0.0),
        ("lp_locked", {"lp_locked_share": NAN}, None),
        ("lp_locked", {"lp_locked_share": 0.0, "trusted": 1.0}, 0.0),
        ("vendor_score", {"vendor_score": 0.3}, 0.5),
        ("vendor_score", {"vendor_score": 0.6}, 1.0),
        ("vendor_score", {"vendor_score": NAN}, None),
    ],
)
def test_factor_steps(factor: str, change: dict[str, Any], points: float | None) -> None:
    assert one(**change).factors()[0][factor] == points


def test_score_is_the_weighted_mean_of_what_is_known() -> None:
    table = one(pool_age_seconds=0.0, price_change_h24_pct=60.0, fdv_usd=NAN, market_cap_usd=NAN)
    assert table.known_share.tolist() == [125 / WHOLE]
    assert table.score.tolist() == pytest.approx([(15 * 1.0 + 10 * 0.5) / 125])


def test_an_unknown_factor_is_neither_safe_nor_risky() -> None:
    half_known = one(pool_age_seconds=0.0, fdv_usd=NAN, market_cap_usd=NAN).score[0]
    assert half_known > one(pool_age_seconds=0.0).score[0]


@pytest.mark.parametrize(
    ("change", "score", "level"),
    [
        ({"pool_age_seconds": 0.0, "volume_h24_usd": 1e8}, 30 / WHOLE, "low"),
        ({"pool_age_seconds": 0.0, "volume_h24_usd": 1e8, "price_change_h24_pct": 120.0, "vendor_score": 0.4}, 0.3, "medium"),
        (
            {"pool_age_seconds": 0.0, "volume_h24_usd": 1e8, "fdv_usd": 1e9, "price_change_h24_pct": 120.0,
             "buys_h24": 160.0, "sells_h24": 50.0, "sell_tax": 0.3, "vendor_score": 0.9},
            74 / WHOLE,
            "medium",
        ),
        (
            {"pool_age_seconds": 0.0, "volume_h24_usd": 1e8, "fdv_usd": 1e9, "price_change_h24_pct": 120.0,
             "buys_h24": 190.0, "sells_h24": 20.0, "sell_tax": 0.3, "vendor_score": 0.9, "top10_holder_share": 0.4},
            0.6,
            "high",
        ),
    ],
)  # fmt: skip
def test_bands(change: dict[str, Any], score: float, level: str) -> None:
    table = one(**change)
    assert table.score.tolist() == [score]
    assert table.level.tolist() == [level]
    assert table.hard_fail.tolist() == [None]


def test_too_little_known_is_unknown() -> None:
    nothing = dict.fromkeys((*METRIC_COLUMNS, *SECURITY_COLUMNS), NAN)
    table = assess(snapshots(nothing, {**nothing, "liquidity_usd": 1e6}, {**nothing, "pool_age_seconds": 9e9}))
    assert table.level.tolist() == ["unknown"] * 3
    assert np.isnan(table.score).all()
    assert table.known_share.tolist() == [0.0, 25 / WHOLE, 15 / WHOLE]


def test_a_hard_fail_needs_no_other_knowledge() -> None:
    table = one(**{**dict.fromkeys(METRIC_COLUMNS, NAN), **NO_REPORT, "price_change_h24_pct": -95.0})
    assert table.level.tolist() == ["high"]
    assert np.isnan(table.score).all()


@pytest.mark.parametrize("on_bonding_curve", [False, True])
def test_unknown_liquidity_is_never_low(on_bonding_curve: bool) -> None:
    table = one(liquidity_usd=NAN, on_bonding_curve=on_bonding_curve)
    assert table.score.tolist() == [0.0]
    assert table.level.tolist() == ["medium"]


@pytest.mark.parametrize(
    ("change", "level"),
    [
        (NO_REPORT, "medium"),
        ({**NO_REPORT, "mint_authority": 0.0}, "low"),
        ({**NO_REPORT, "honeypot": 0.0}, "low"),
        ({"mint_authority": NAN, "honeypot": NAN}, "medium"),
    ],
)
def test_a_contract_that_nobody_looked_at_is_never_low(change: dict[str, Any], level: str) -> None:
    assert one(**change).level.tolist() == [level]


def test_reports_may_be_left_out() -> None:
    metrics = {name: [value] for name, value in SOUND.items() if name not in SECURITY_COLUMNS}
    assert assess(metrics).factors() == one(**NO_REPORT).factors()
    assert assess(metrics).level.tolist() == ["medium"]


@pytest.mark.parametrize("name", SECURITY_SHARES)
def test_a_negative_share_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: row 1 is -0.5"):
        assess(snapshots({}, {name: -0.5}))


def test_none_is_unknown() -> None:
    metrics: dict[str, Any] = {name: [None if name != "on_bonding_curve" else False] for name in SOUND}
    assert assess(metrics).level.tolist() == ["unknown"]


def test_no_rows() -> None:
    table = assess(snapshots({})).take([False])
    assert len(table) == 0
    assert len(assess({name: [] for name in SOUND})) == 0


metric = st.one_of(st.just(NAN), st.sampled_from([0.0, 1.0, 20.0, 999.0, 5_000.0, 1e6]), st.floats(0, 1e9))
snapshot = st.fixed_dictionaries(
    {
        **dict.fromkeys(METRIC_COLUMNS, metric),
        "price_change_h24_pct": st.one_of(st.just(NAN), st.floats(-100, 1e6)),
        "on_bonding_curve": st.booleans(),
        **dict.fromkeys(SECURITY_FLAGS, st.sampled_from([0.0, 1.0, NAN])),
        **dict.fromkeys(SECURITY_SHARES, st.one_of(st.just(NAN), st.sampled_from([0.1, 0.3, 0.5]), st.floats(0, 1))),
    }
)
SEVERITY = {"low": 0, "unknown": 1, "medium": 1, "high": 2}
# Each fact with its worse end: more is worse, or less is.
WORSE_UP = ("mint_authority", "freeze_authority", "owner_can_change", "honeypot", "rugged", "buy_tax", "sell_tax",
            "transfer_fee", "top10_holder_share", "vendor_score")  # fmt: skip
WORSE_DOWN = ("lp_locked_share", "trusted", "liquidity_usd")


@given(st.lists(snapshot, min_size=1, max_size=8))
def test_laws_of_an_assessment(rows: list[dict[str, Any]]) -> None:
    table = assess(snapshots(*rows))
    for i, row in enumerate(rows):
        alone = one(**row)
        assert alone.level[0] == table.level[i]
        assert alone.factors() == table.take([i]).factors()
        level, score = str(table.level[i]), float(table.score[i])
        assert level in LEVELS
        if table.hard_fail[i] is not None:
            assert level == "high"
        elif table.known_share[i] < MIN_KNOWN_SHARE:
            assert level == "unknown"
        elif score >= HIGH_FROM:
            assert level == "high"
        elif score >= MEDIUM_FROM or np.isnan(row["liquidity_usd"]) or np.isnan([row["mint_authority"], row["honeypot"]]).all():
            assert level == "medium"
        else:
            assert level == "low"
        assert np.isnan(score) == (table.known_share[i] < MIN_KNOWN_SHARE)
        known = {factor.name: factor.weight for factor in FACTORS if table.factors()[i][factor.name] is not None}
        assert table.known_share[i] == sum(known.values()) / WHOLE


@given(snapshot, st.sampled_from(WORSE_UP + WORSE_DOWN), st.data())
def test_a_worse_fact_never_lowers_the_risk(row: dict[str, Any], fact: str, data: st.DataObject) -> None:
    if np.isnan(row[fact]):
        row[fact] = 0.0
    flag = fact in SECURITY_FLAGS
    ends = (row[fact], 1.0) if fact in WORSE_UP else (0.0, row[fact])
    worse = ends[fact in WORSE_UP] if flag else data.draw(st.floats(*ends))
    if fact == "trusted":
        worse = 0.0
    # Liquidity is in other factors too, where more of it is not always safer: here only the fact by itself is of interest.
    if fact == "liquidity_usd":
        row |= {"fdv_usd": NAN, "market_cap_usd": NAN, "volume_h24_usd": NAN}
    before, after = one(**row), one(**{**row, fact: worse})
    if before.known_share[0] == after.known_share[0]:
        assert np.isnan(before.score[0]) or after.score[0] >= before.score[0]
        assert SEVERITY[str(after.level[0])] >= SEVERITY[str(before.level[0])]
    assert (after.hard_fail[0] is not None) or (before.hard_fail[0] is None)


@given(snapshot, st.sampled_from(SECURITY_COLUMNS))
def test_not_knowing_is_never_safer_than_knowing_the_best(row: dict[str, Any], fact: str) -> None:
    best = 1.0 if fact in ("lp_locked_share", "trusted") else 0.0
    known, unknown = one(**{**row, fact: best}), one(**{**row, fact: NAN})
    if not np.isnan(known.score[0]) and not np.isnan(unknown.score[0]):
        assert unknown.score[0] >= known.score[0]
    assert SEVERITY[str(unknown.level[0])] >= SEVERITY[str(known.level[0])]


@given(st.lists(snapshot, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_tokens_means_nothing(rows: list[dict[str, Any]], random: Any) -> None:
    order = random.sample(range(len(rows)), len(rows))
    table, shuffled = assess(snapshots(*rows)), assess(snapshots(*(rows[i] for i in order)))
    assert shuffled.level.tolist() == table.take(order).level.tolist()
    assert shuffled.factors() == table.take(order).factors()
    assert shuffled.hard_fail.tolist() == table.take(order).hard_fail.tolist()


@given(st.lists(snapshot, min_size=1, max_size=5))
def test_what_is_stored_reads_back_the_same(rows: list[dict[str, Any]]) -> None:
    table = assess(snapshots(*rows))
    stored = json.loads(json.dumps(table.factors(), allow_nan=False))
    scores = [None if np.isnan(score) else score for score in table.score.tolist()]
    again = stored_assessments(table.level.tolist(), scores, table.known_share.tolist(), table.hard_fail.tolist(), stored)
    assert again.level.tolist() == table.level.tolist()
    assert again.hard_fail.tolist() == table.hard_fail.tolist()
    np.testing.assert_array_equal(again.score, table.score)
    np.testing.assert_array_equal(again.points, table.points)
    assert len(concatenate([table, again])) == 2 * len(rows)


def test_without_factors_they_are_unknown() -> None:
    table = stored_assessments(["low"], [0.1], [1.0], [None])
    assert np.isnan(table.points).all()
    assert table.points.shape == (1, len(FACTORS))


@pytest.mark.parametrize("name", [*METRIC_COLUMNS, "on_bonding_curve"])
def test_a_missing_column_is_named(name: str) -> None:
    metrics = snapshots({})
    del metrics[name]
    with pytest.raises(KeyError, match=name):
        assess(metrics)


@pytest.mark.parametrize("name", METRIC_COLUMNS[:6])
def test_a_negative_amount_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: row 1 is -1.0"):
        assess(snapshots({}, {name: -1.0}))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="fdv_usd"):
        assess({**snapshots({}, {}), "fdv_usd": np.array([1.0])})


def test_recorded_pairs_are_judged(recordings: Path) -> None:
    recorded = json.loads((recordings / "payloads/dexscreener/tokens_bonk.json").read_text())
    body = recorded["body"]
    pairs = (json.loads(body) if isinstance(body, str) else body)["pairs"]
    newest = max(pair.get("pairCreatedAt") or 0 for pair in pairs) / 1000 + DAY
    metrics: dict[str, list[Any]] = {
        "liquidity_usd": [pair.get("liquidity", {}).get("usd") for pair in pairs],
        "fdv_usd": [pair.get("fdv") for pair in pairs],
        "market_cap_usd": [pair.get("marketCap") for pair in pairs],
        "volume_h24_usd": [pair.get("volume", {}).get("h24") for pair in pairs],
        "buys_h24": [pair["txns"]["h24"]["buys"] for pair in pairs],
        "sells_h24": [pair["txns"]["h24"]["sells"] for pair in pairs],
        "price_change_h24_pct": [pair.get("priceChange", {}).get("h24") for pair in pairs],
        "pool_age_seconds": [newest - pair["pairCreatedAt"] / 1000 if pair.get("pairCreatedAt") else None for pair in pairs],
        "on_bonding_curve": [pair["dexId"] in ("pumpfun", "launchlab") for pair in pairs],
    }
    # Nobody looked at the contract: no pair is low.
    assert set(assess(metrics).level.tolist()) == {"medium", "high"}
    answer = json.loads((recordings / "payloads/extra/goplus_token_security_bonk.json").read_text())["body"]
    facts = facts_of_solana_token(SOLANA_TOKENS.validate_python(tokens_of(answer))[0])
    table = assess(metrics | {name: [getattr(facts, name)] * len(pairs) for name in SECURITY_COLUMNS})
    changes = np.array(metrics["price_change_h24_pct"], dtype=np.float64)
    factors = table.factors()
    assert np.nanmax(changes) > 1_000
    assert factors[int(np.nanargmax(changes))]["price_change"] == 1.0
    assert {"low", "high"} <= set(table.level.tolist())
    for row, level, liquidity in zip(factors, table.level.tolist(), metrics["liquidity_usd"], strict=True):
        assert (row["liquidity"] is None) == (liquidity is None)
        assert level != "low" or liquidity >= 1_000
