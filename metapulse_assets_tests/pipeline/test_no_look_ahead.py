"""Signals made again on data cut at their time come out equal; one planted peek into the future, and they do not."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from metapulse_assets.indicators import chain_store
from metapulse_assets.market import candle_store
from metapulse_assets.market.tables import token_metrics
from metapulse_assets.platform.bulk import Columns
from metapulse_assets.platform.day_partitions import day_bounds
from metapulse_assets.proof.checks import recompute_sample, sample_signals
from metapulse_assets.proof.recomputing import Recomputed, recompute_signal
from metapulse_assets.proof.time_cut import time_machine
from metapulse_assets.risk import assessing
from metapulse_assets.signals import emitting
from metapulse_assets.signals.tables import signals
from metapulse_assets_tests.pipeline.conftest import World

DAY = timedelta(days=1)


def all_made_again(world: World, most: int = 80) -> list[Recomputed]:
    """Stored signals of both origins, each made again at its time."""
    with time_machine(world.platform.engine) as machine:
        rows = machine.connection.execute(
            sa.text("SELECT * FROM public.signals ORDER BY md5(signal_id) LIMIT :most"), {"most": most}
        ).all()
        assert rows
        return [recompute_signal(machine, dict(row._mapping)) for row in rows]


def check_result(result: Any) -> Any:
    [found] = [one for one in result.get_asset_check_evaluations() if one.check_name == "no_look_ahead"]
    return found


def test_live_signals_and_replays_come_out_equal(world: World) -> None:
    world.ticks(2)
    yesterday = world.now.date() - DAY
    world.backfill(yesterday - DAY, yesterday)
    made = all_made_again(world)
    assert [again.differences for again in made if not again.equal] == []
    with world.platform.engine.connect() as connection:
        origins = set(connection.execute(sa.select(signals.c.origin).distinct()).scalars())
    assert origins == {"live", "replay"}


def test_making_them_again_leaves_no_trace(world: World) -> None:
    before = {table: world.rows(table) for table in ("candles", "technical_analyses", "technical_signals", "signals")}
    all_made_again(world, most=5)
    assert {table: world.rows(table) for table in before} == before


def test_the_sample_has_signals_of_the_span_and_is_the_same_for_the_same_rows(world: World) -> None:
    with world.platform.engine.connect() as connection:
        span = day_bounds(world.now.date())
        once, again = (sample_signals(connection, *span, per_kind=3) for _ in range(2))
    assert [row.signal_id for row in once] == [row.signal_id for row in again]
    assert once
    assert all(span[0] <= row.opened_at < span[1] for row in once)


def peeking(real: Any) -> Any:
    def read(*arguments: Any, **options: Any) -> Columns:
        """Each candle with the close of the one after it."""
        rows: Columns = real(*arguments, **options)
        close = rows["close"].copy()
        follows = np.append(rows["token_id"][1:] == rows["token_id"][:-1], False)
        close[follows] = rows["close"][np.flatnonzero(follows) + 1]
        return {**rows, "close": np.clip(close, rows["low"], rows["high"])}

    return read


def test_a_planted_look_ahead_in_the_indicators_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_store, "read_candles", peeking(candle_store.read_candles))
    yesterday = world.now.date() - DAY
    result = world.backfill(yesterday, yesterday, succeeds=False)
    evaluation = check_result(result)
    assert not evaluation.passed
    assert evaluation.blocking
    with world.platform.engine.connect() as connection:
        different = [again for again in recompute_sample(connection, *day_bounds(yesterday)) if not again.equal]
    assert different


def test_a_planted_look_ahead_in_the_risk_is_found(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.ticks(1)

    def latest(connection: sa.Connection, start: Any, end: Any) -> Any:
        """All assessments there are, as if each had been known from the start."""
        history = real(connection, start - 10 * DAY, end + 10 * DAY)
        return type(history)(history.token_id, history.observed_at, history.available_at - 10 * 86_400, history.assessment)

    real = assessing.read_risk
    monkeypatch.setattr(emitting, "read_risk", latest)
    yesterday = world.now.date() - DAY
    world.backfill(yesterday, yesterday, succeeds=None)
    with world.platform.engine.connect() as connection:
        first_look = sa.select(sa.func.min(token_metrics.c.recorded_at)).scalar_subquery()
        rows = connection.execute(
            sa.select(signals).where(signals.c.emitted_at < first_look, signals.c.risk != "unknown").limit(5)
        ).all()
    assert rows, "replays of before the first snapshot know a risk now"
    with time_machine(world.platform.engine) as machine:
        made = [recompute_signal(machine, dict(row._mapping)) for row in rows]
    assert [again.differences.get("risk") for again in made] == [(row.risk, "unknown") for row in rows]
