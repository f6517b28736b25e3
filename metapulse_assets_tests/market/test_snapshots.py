"""A pair as a row of `token_metrics`: every field where it belongs, and nothing in the place of what is missing."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from metapulse_assets.market.snapshots import Snapshot, metric_columns
from metapulse_assets.market.tables import token_metrics
from metapulse_assets.platform.bulk import write_columns
from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets_tests.market.pairs import a_pair

OBSERVED = datetime(2026, 3, 4, 23, 59, 59, 999_999, tzinfo=UTC)
RECORDED = OBSERVED + timedelta(seconds=2)
FULL: dict[str, Any] = {
    "price": 0.000004,
    "priceNative": "0.00000005",
    "liquidity": 12.5,
    "fdv": 7,
    "marketCap": 6,
    "volume": 4.0,
    "txns": {w: {"buys": n, "sells": 10 + n} for n, w in enumerate(("m5", "h1", "h6", "h24"))},
    "priceChange": {"m5": -1.25, "h24": 500_822},
}


def stored(engine: sa.Engine, snapshots: list[Snapshot]) -> list[dict[str, object]]:
    with engine.begin() as connection:
        ensure_days(connection, token_metrics.name, [OBSERVED.date()])
        assert write_columns(connection, token_metrics, metric_columns(snapshots, RECORDED), conflict="keep") == len(snapshots)
        return [row._asdict() for row in connection.execute(sa.select(token_metrics).order_by(token_metrics.c.token_id))]


def test_a_recorded_pair_becomes_exactly_this_row(engine: sa.Engine) -> None:
    pair = a_pair(**FULL)
    [row] = stored(engine, [Snapshot(3, 4, 5, OBSERVED, pair)])
    assert row == {
        "observed_at": OBSERVED,
        "recorded_at": RECORDED,
        "payload_id": 5,
        "token_id": 3,
        "pool_id": 4,
        "price_usd": 0.000004,
        "price_native": 5e-8,
        "liquidity_usd": 12.5,
        "fdv_usd": 7.0,
        "market_cap_usd": 6.0,
        **{f"volume_{w}_usd": None for w in ("m5", "h1", "h6")},
        "volume_h24_usd": 4.0,
        **{f"buys_{w}": n for n, w in enumerate(("m5", "h1", "h6", "h24"))},
        **{f"sells_{w}": 10 + n for n, w in enumerate(("m5", "h1", "h6", "h24"))},
        "price_change_m5_pct": -1.25,
        "price_change_h1_pct": None,
        "price_change_h6_pct": None,
        "price_change_h24_pct": 500_822.0,
    }


def test_what_the_vendor_left_out_is_null_and_never_zero(engine: sa.Engine) -> None:
    [row] = stored(engine, [Snapshot(1, 1, 1, OBSERVED, a_pair(liquidity=None, volume=None))])
    given = {"observed_at", "recorded_at", "payload_id", "token_id", "pool_id", "price_usd"}
    assert {name for name, value in row.items() if value is not None} == given


def test_zero_stays_zero(engine: sa.Engine) -> None:
    [row] = stored(
        engine, [Snapshot(1, 1, 1, OBSERVED, a_pair(liquidity=0.0, volume=0.0, txns={"m5": {"buys": 0, "sells": 0}}))]
    )
    assert (row["liquidity_usd"], row["volume_h24_usd"], row["buys_m5"], row["sells_m5"]) == (0.0, 0.0, 0, 0)


def test_one_token_and_moment_is_one_row(engine: sa.Engine) -> None:
    snapshot = Snapshot(1, 1, 1, OBSERVED, a_pair())
    stored(engine, [snapshot])
    with engine.begin() as connection:
        assert write_columns(connection, token_metrics, metric_columns([snapshot], RECORDED), conflict="keep") == 0
    with engine.begin() as connection, pytest.raises(Exception, match="token_metrics"):
        write_columns(connection, token_metrics, metric_columns([snapshot], RECORDED))


def test_times_of_another_zone_are_stored_as_the_same_moment() -> None:
    elsewhere = OBSERVED.astimezone(timezone(timedelta(hours=9)))
    columns = metric_columns([Snapshot(1, 1, 1, elsewhere, a_pair())], elsewhere)
    assert columns["observed_at"][0] == np.datetime64(OBSERVED.replace(tzinfo=None), "us")
