"""Outcomes and calibration on a real database: stored once, made anew equal, filled in when history comes."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from metapulse_assets.market.candle_store import insert_candles
from metapulse_assets.market.tables import candle_requests, candles, token_metrics, tokens, tracked_tokens
from metapulse_assets.outcomes import calibration_store, store
from metapulse_assets.outcomes.checks import _every_matured_signal as every_matured_signal
from metapulse_assets.outcomes.checks import _nothing_from_after as nothing_from_after
from metapulse_assets.outcomes.checks import _nothing_from_before as nothing_from_before
from metapulse_assets.outcomes.checks import outcome_checks
from metapulse_assets.outcomes.tables import calibration_curves, signal_calibration, signal_outcomes
from metapulse_assets.platform.bulk import to_datetime64
from metapulse_assets.platform.day_partitions import ensure_days
from metapulse_assets.service.routes.stored_signals import SignalQuestion, read_signals
from metapulse_assets.signals.listing import as_json, list_signals
from metapulse_assets.signals.tables import signals

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = (datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 5, tzinfo=UTC))
FIVE = timedelta(minutes=5)
# Single precision holds the first as a little less, which half a millionth must be rounded by whoever reads it.
CONFIDENCES = (0.2000375, 0.8)
HOUR = timedelta(hours=1)


@pytest.fixture
def connection(engine: sa.Engine) -> Any:
    """A connection whose database knows two tracked tokens."""
    with engine.begin() as connection:
        for token in ("a", "b"):
            row = {"chain": "solana", "address": token, "symbol": token, "name": token, "first_recorded_at": DAY[0]}
            connection.execute(sa.insert(tokens).values(row))
        tracked = {"active": True, "sources": [], "tracked_since": DAY[0], "last_listed_at": DAY[0], "reason": ""}
        connection.execute(sa.insert(tracked_tokens), [{"token_id": token_id, **tracked} for token_id in (1, 2)])
        yield connection


def store_candles(
    connection: sa.Connection, closes: Sequence[float], start: datetime, token_id: int = 1, recorded_at: datetime | None = None
) -> None:
    """Five-minute candles through these closes, each recorded at its close unless told otherwise."""
    opens = [closes[0], *closes[:-1]]
    for i, (first, last) in enumerate(zip(opens, closes, strict=True)):
        closed = start + (i + 1) * FIVE
        columns = {
            "token_id": np.array([token_id], np.int32),
            "opened_at": np.array([to_datetime64(closed - FIVE)]),
            "available_at": np.array([to_datetime64(recorded_at or closed)]),
            "open": np.array([first]),
            "high": np.array([max(first, last)]),
            "low": np.array([min(first, last)]),
            "close": np.array([last]),
            "volume_usd": np.array([1.0]),
        }
        insert_candles(connection, "5m", columns, "snapshots", recorded_at or closed)


def store_signal(connection: sa.Connection, at: datetime, name: str = "s", **change: Any) -> None:
    """A live buy of token 1, recorded ten seconds after its candle's close."""
    row = {
        "signal_id": name,
        "token_id": 1,
        "kind": "technical",
        "rule": "rsi_oversold",
        "timeframe": "5m",
        "direction": "buy",
        "strength": 0.5,
        "confidence": 0.6,
        "risk": "low",
        "price_usd": 100.0,
        "target_usd": 103.0,
        "stop_usd": 95.0,
        "horizon_seconds": 3_600,
        "reasons": [],
        "opened_at": at - FIVE,
        "observed_at": at,
        "emitted_at": at,
        "expires_at": at + timedelta(days=1),
        "recorded_at": at + timedelta(seconds=10),
        "origin": "live",
        "mode": "sandbox",
        "run_id": "r",
        **change,
    }
    connection.execute(sa.insert(signals).values(row))


def stored(connection: sa.Connection) -> list[dict[str, Any]]:
    """All outcomes, by signal and horizon."""
    table = signal_outcomes
    return [
        dict(row._mapping) for row in connection.execute(sa.select(table).order_by(table.c.signal_id, table.c.available_at))
    ]


def rising(count: int) -> list[float]:
    """A price that rises by 1 a candle."""
    return [100.0 + i for i in range(count)]


def test_each_horizon_gets_its_outcome_once_it_has_passed_and_only_once(connection: sa.Connection) -> None:
    store_candles(connection, rising(60), NOON)
    store_signal(connection, NOON)
    assert store.resolve_new(connection, NOON + timedelta(minutes=18)) == 0
    assert store.resolve_new(connection, NOON + timedelta(minutes=20)) == 1
    assert store.resolve_new(connection, NOON + timedelta(minutes=25)) == 0
    assert store.resolve_new(connection, NOON + 4 * HOUR + timedelta(minutes=20)) == 2
    rows = stored(connection)
    assert [row["horizon"] for row in rows] == ["5m", "1h", "4h"]
    # A live signal could be acted upon once it was stored: at 12:00:10, so that the candle of 12:05 comes first.
    assert [row["entry_at"] for row in rows] == [NOON + FIVE] * 3
    assert [row["exit_usd"] for row in rows] == [101.0, 112.0, 148.0]
    assert [row["first_touch"] for row in rows] == ["neither", "target", "target"]
    assert all(row["reason"] is None and row["liquidity_usd"] is None for row in rows)


def test_a_replayed_signal_enters_when_it_would_have_been_emitted(connection: sa.Connection) -> None:
    store_candles(connection, rising(10), NOON)
    store_signal(connection, NOON, origin="replay", recorded_at=NOON + timedelta(days=3))
    store.resolve_new(connection, NOON + HOUR)
    assert stored(connection)[0]["entry_at"] == NOON


def store_snapshots(connection: sa.Connection, prices: Sequence[float], start: datetime, token_id: int = 1) -> None:
    """A snapshot four seconds after every five minutes."""
    ensure_days(connection, token_metrics.name, {start.date()})
    for i, price in enumerate(prices):
        at = start + i * FIVE + timedelta(seconds=4)
        row = {"observed_at": at, "recorded_at": at, "price_usd": price, "token_id": token_id, "pool_id": 1}
        connection.execute(sa.insert(token_metrics).values({**row, "liquidity_usd": 9_000.0}))


@pytest.mark.parametrize("late_by", [2, 10])
def test_a_day_made_anew_comes_out_equal_row_by_row(connection: sa.Connection, late_by: int) -> None:
    store_candles(connection, rising(60), NOON)
    store_snapshots(connection, rising(60), NOON)
    for number in range(12):
        at = NOON + number * FIVE
        store_signal(connection, at, f"s{number:02}", recorded_at=at + timedelta(seconds=late_by))
    for number in range(60 + 12):
        store.resolve_new(connection, NOON + number * FIVE + timedelta(seconds=15))
    before = stored(connection)
    assert len(before) == 36
    # Who is two seconds late still enters at the snapshot four seconds after; ten seconds, at the next candle.
    assert before[0]["entry_at"] == NOON + (timedelta(seconds=4) if late_by == 2 else FIVE)
    assert before[0]["cost_share"] == pytest.approx(1 - 0.997**2 / (1 + 200 / 9_000) ** 2)
    assert store.resolve_again(connection, NOON.date(), NOON + timedelta(hours=10)) == 0
    assert stored(connection) == before
    connection.execute(sa.delete(signal_outcomes))
    assert store.resolve_again(connection, NOON.date(), NOON + timedelta(hours=9)) == 36
    again = stored(connection)
    assert [{**row, "recorded_at": 0} for row in again] == [{**row, "recorded_at": 0} for row in before]


def test_what_could_not_be_resolved_is_once_history_has_come(connection: sa.Connection) -> None:
    store_candles(connection, rising(3), NOON)
    store_signal(connection, NOON)
    late = NOON + 3 * HOUR
    store.resolve_new(connection, late)
    assert {row["horizon"]: row["status"] for row in stored(connection)} == {"5m": "resolved", "1h": "unresolvable"}
    reasons = [row["reason"] for row in stored(connection)]
    assert reasons == [None, "not watching when the horizon ended"]
    store_candles(connection, rising(30), NOON, recorded_at=late + FIVE)
    assert store.resolve_new(connection, late + 2 * FIVE) == 0, "nobody said that there is anything new"
    request = {"token_id": 1, "timeframe": "5m", "asked_at": late + 3 * FIVE, "candles_received": 30}
    connection.execute(sa.insert(candle_requests).values(request))
    assert store.resolve_new(connection, late + 4 * FIVE) == 1
    hour = stored(connection)[1]
    assert (hour["status"], hour["exit_usd"], hour["available_at"]) == ("resolved", 112.0, late + FIVE)


@pytest.mark.parametrize(("tracked", "status"), [(True, "vanished"), (False, "unresolvable")])
def test_a_token_that_is_seen_no_more_while_others_are_vanished(connection: sa.Connection, tracked: bool, status: str) -> None:
    store_candles(connection, rising(3), NOON)
    store_snapshots(connection, rising(3), NOON)
    store_snapshots(connection, rising(40), NOON, token_id=2)
    store_signal(connection, NOON)
    connection.execute(sa.update(tracked_tokens).where(tracked_tokens.c.token_id == 1).values(active=tracked))
    store.resolve_new(connection, NOON + 2 * HOUR)
    assert [row["horizon"] for row in stored(connection)] == ["5m"], "it may yet come back"
    store.resolve_new(connection, NOON + 3 * HOUR)
    hour = stored(connection)[1]
    assert (hour["horizon"], hour["status"]) == ("1h", status)
    assert hour["net_return"] == (-1 if tracked else None)
    # One that fell below the bar is asked for eight days longer before it is let go.
    failing = {"failing_since": NOON - timedelta(days=7)}
    connection.execute(sa.update(tracked_tokens).where(tracked_tokens.c.token_id == 1).values(failing))
    store.resolve_again(connection, NOON.date(), NOON + 3 * HOUR)
    assert stored(connection)[1]["status"] == "vanished"


def test_what_was_known_is_not_made_unknown_by_candles_that_have_gone(connection: sa.Connection) -> None:
    store_candles(connection, rising(30), NOON)
    store_signal(connection, NOON)
    store.resolve_new(connection, NOON + 3 * HOUR)
    before = stored(connection)
    connection.execute(sa.delete(candles))
    assert store.resolve_again(connection, NOON.date(), NOON + 3 * HOUR) == 0
    assert stored(connection) == before


def test_the_checks_pass_on_what_was_made_and_find_what_was_not(connection: sa.Connection) -> None:
    store_candles(connection, rising(60), NOON)
    store_signal(connection, NOON)
    store_signal(connection, NOON, "unpriced", token_id=2)
    store.resolve_new(connection, NOON + timedelta(hours=6))
    good = every_matured_signal(connection, *DAY)
    assert (good.passed, good.facts["matured"], good.facts["with a reason"]) == (True, 6, 3)
    assert nothing_from_before(connection, *DAY).passed
    assert nothing_from_before(connection, *DAY).facts["made anew"] == 3
    connection.execute(sa.update(signal_outcomes).values(exit_usd=1.0).where(signal_outcomes.c.horizon == "1h"))
    assert nothing_from_before(connection, *DAY).facts["came out different"] == ["s 1h"]
    connection.execute(sa.update(signal_outcomes).values(entry_at=NOON).where(signal_outcomes.c.entry_usd == 100.0))
    assert nothing_from_before(connection, *DAY).facts["too early"] == 3
    connection.execute(sa.delete(signal_outcomes).where(signal_outcomes.c.horizon == "4h"))
    assert every_matured_signal(connection, *DAY).facts["without an outcome"] == {"4h": 2}
    assert {check.op.name for check in outcome_checks()} == {"signal_outcomes_checks", "signal_calibration_checks"}


def many_outcomes(connection: sa.Connection, count: int) -> datetime:
    """A wavy price, a signal a candle, and their outcomes; returns when."""
    closes = [100.0 + 10 * float(np.sin(i / 3)) for i in range(count + 30)]
    store_candles(connection, closes, NOON)
    for number in range(count):
        at = NOON + number * FIVE
        store_signal(
            connection,
            at,
            f"s{number:03}",
            confidence=CONFIDENCES[number % 2],
            risk=("low", "high")[number % 2],
        )
    end = NOON + (count + 30) * FIVE
    store.resolve_new(connection, end)
    return end


def calibration_row(connection: sa.Connection, horizon: str, rule: str = "rsi_oversold") -> sa.Row[Any]:
    """The stored numbers of a rule over all levels of risk."""
    c = signal_calibration.c
    return connection.execute(sa.select(signal_calibration).where(c.rule == rule, c.horizon == horizon, c.risk == "all")).one()


def test_calibration_is_stored_and_computed_once_an_hour(connection: sa.Connection) -> None:
    end = many_outcomes(connection, 60)
    assert calibration_store.computed_lately(connection, end) is None
    rows = calibration_store.recalibrate(connection, end)
    # Three horizons have outcomes; of one kind, for the rule and all rules, two levels and all levels.
    assert rows == connection.execute(sa.select(sa.func.count()).select_from(signal_calibration)).scalar_one() == 3 * 6
    assert end.minute == 30
    assert calibration_store.computed_lately(connection, end + timedelta(minutes=29)) == end
    assert calibration_store.computed_lately(connection, end + timedelta(minutes=30)) is None
    of_rule = calibration_row(connection, "5m")
    assert (of_rule.n, of_rule.vanished, of_rule.unresolvable) == (60, 0, 0)
    assert 1 <= of_rule.n_effective < 60
    # Entries are at the opens of the 60 candles after the first; a hit rises by more than the fees of 0.6 %.
    closes = [100.0 + 10 * float(np.sin(i / 3)) for i in range(90)]
    hits = [closes[i + 1] / closes[i] * 0.997**2 > 1 for i in range(60)]
    assert of_rule.hit_rate == pytest.approx(np.mean(hits))
    assert of_rule.base_rate == pytest.approx(of_rule.hit_rate), "these signals are every moment there is"
    # Those emitted at 17:00, the only ones with 50 known outcomes before them, are none: the last is of 16:55.
    assert (of_rule.n_judged, of_rule.brier, of_rule.brier_skill) == (0, None, None)
    assert of_rule.computed_at == end
    assert calibration_store.recalibrate(connection, end) == rows


def test_a_signal_is_shown_with_what_was_known_in_its_hour_and_stays_so(connection: sa.Connection) -> None:
    # Twelve signals an hour from 12:00 on. That of 16:00 and 16:05 is known by 17:20, so that 50 are known at 18:00 at last.
    end = many_outcomes(connection, 96)
    before = list_signals(connection, limit=1)[0]
    assert (before["calibrated_confidence"], before["calibration"]) == (None, "uncalibrated")
    calibration_store.recalibrate(connection, end)
    shown = {row["signal_id"]: row for row in list_signals(connection)}
    usable_at = [o["available_at"] for o in stored(connection) if (o["horizon"], o["status"]) == ("1h", "resolved")]
    for row in shown.values():
        known = sum(at <= row["emitted_at"].replace(minute=0) for at in usable_at)
        assert row["calibration"] == (f"n={known}" if known >= 50 else "uncalibrated"), row["emitted_at"]
        assert (row["calibrated_confidence"] is None) is (known < 50)
    assert as_json(shown["s095"])["calibrated_confidence"] is not None
    judged = calibration_row(connection, "1h")
    told = {name: row["calibrated_confidence"] for name, row in shown.items() if row["calibrated_confidence"] is not None}
    hit = {o["signal_id"]: o["net_return"] > 0 for o in stored(connection) if o["horizon"] == "1h"}
    assert judged.n_judged == len(told) == 24
    assert judged.brier == pytest.approx(np.mean([(told[name] - hit[name]) ** 2 for name in told]))
    assert judged.brier_raw == pytest.approx(np.mean([(shown[name]["confidence"] - hit[name]) ** 2 for name in told]))
    assert (judged.brier_base, judged.brier_skill) == (None, None), "without a candle of an hour there is no base rate"
    # Whatever becomes known later, and when it is computed again, what was shown stays.
    connection.execute(sa.update(signal_outcomes).where(signal_outcomes.c.available_at > end - HOUR).values(net_return=0.5))
    calibration_store.recalibrate(connection, end + 3 * HOUR)
    again = {row["signal_id"]: row for row in list_signals(connection)}
    assert again == shown
    # Nor when retention has taken what it rested on.
    connection.execute(sa.delete(signal_outcomes).where(signal_outcomes.c.opened_at < NOON + HOUR))
    calibration_store.recalibrate(connection, end + 3 * HOUR)
    assert {row["signal_id"]: row for row in list_signals(connection)} == shown


def test_what_the_service_says_of_a_signal_is_what_is_listed(connection: sa.Connection) -> None:
    end = many_outcomes(connection, 96)
    calibration_store.recalibrate(connection, end)
    page, _ = read_signals(connection, SignalQuestion(limit=20))
    assert page == list_signals(connection, limit=20)
    assert {row["calibration"] for row in page} > {"uncalibrated"} or page[0]["calibration"].startswith("n=")


def test_an_outcome_that_came_late_makes_a_curve_say_more(connection: sa.Connection) -> None:
    end = many_outcomes(connection, 96)
    late = signal_outcomes.c.signal_id.in_([f"s{number:03}" for number in range(10)])
    kept = connection.execute(sa.select(signal_outcomes).where(late)).all()
    connection.execute(sa.delete(signal_outcomes).where(late))
    calibration_store.recalibrate(connection, end)
    fewer = list_signals(connection, limit=1)[0]["calibration"]
    connection.execute(sa.insert(signal_outcomes), [dict(row._mapping) for row in kept])
    calibration_store.recalibrate(connection, end)
    assert list_signals(connection, limit=1)[0]["calibration"] == f"n={int(fewer.removeprefix('n=')) + 10}"


def test_the_present_hour_has_its_curve_before_its_signals_come(connection: sa.Connection) -> None:
    end = many_outcomes(connection, 96)
    calibration_store.recalibrate(connection, end + 3 * HOUR)
    store_signal(connection, (end + 3 * HOUR).replace(minute=55), "new")
    assert list_signals(connection, limit=1)[0]["signal_id"] == "new"
    assert list_signals(connection, limit=1)[0]["calibration"] == "n=96"
    assert list_signals(connection, limit=1)[0]["calibrated_confidence"] is not None


def test_curves_are_made_again_equal_and_the_check_finds_one_that_is_not(connection: sa.Connection) -> None:
    end = many_outcomes(connection, 96)
    calibration_store.recalibrate(connection, end)
    before = connection.execute(sa.select(calibration_curves).order_by(sa.text("1, 2, 3, 4"))).all()
    good = nothing_from_after(connection, *DAY)
    assert (good.passed, good.facts["fitted anew"], len(before)) == (True, 3, 3)
    connection.execute(sa.delete(calibration_curves))
    calibration_store.recalibrate(connection, end + timedelta(minutes=10))
    assert connection.execute(sa.select(calibration_curves).order_by(sa.text("1, 2, 3, 4"))).all() == before
    connection.execute(sa.update(calibration_curves).values(curve=[[0.5, 0.9]]).where(calibration_curves.c.n < 60))
    found = nothing_from_after(connection, *DAY)
    assert (found.passed, len(found.facts["came out different"])) == (False, 1)
    connection.execute(sa.delete(signal_outcomes).where(signal_outcomes.c.opened_at < NOON + HOUR))
    assert nothing_from_after(connection, *DAY).facts["not fitted anew"] == 3


def test_a_few_outcomes_leave_a_source_uncalibrated(connection: sa.Connection) -> None:
    end = many_outcomes(connection, 20)
    assert calibration_store.recalibrate(connection, end) > 0
    assert connection.execute(sa.select(sa.func.count()).select_from(calibration_curves)).scalar_one() == 0
    assert {row["calibration"] for row in list_signals(connection)} == {"uncalibrated"}


def test_without_outcomes_there_is_no_calibration(connection: sa.Connection) -> None:
    assert calibration_store.recalibrate(connection, NOON) == 0
