"""VACUUM and ANALYZE: done where needed, seen in PostgreSQL's own books, and never in anybody's way."""

from typing import Any

import sqlalchemy as sa

from metapulse_assets.operations.optimisation import needs, optimise
from metapulse_assets.operations.tables import database_optimisation
from metapulse_assets.platform.day_partitions import ensure_days, utc_day
from metapulse_assets_tests.operations.conftest import NOON


def books(engine: sa.Engine, name: str) -> Any:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()"))
        return connection.execute(
            sa.text("SELECT last_analyze, last_vacuum, n_dead_tup FROM pg_stat_user_tables WHERE relname = :name"),
            {"name": name},
        ).one()


def fill(engine: sa.Engine, rows: int) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        connection.execute(
            sa.text("INSERT INTO progress_marks (name, through) SELECT 'mark ' || n, now() FROM generate_series(1, :rows) n"),
            {"rows": rows},
        )


def test_a_table_full_of_dead_rows_is_vacuumed_and_one_that_changed_analysed(engine: sa.Engine) -> None:
    fill(engine, 3_000)
    [row] = [row for row in optimise(engine, NOON) if row["name"] == "progress_marks"]
    assert (row["action"], row["changed_rows"]) == ("analyze", 3_000)
    first = books(engine, "progress_marks")
    assert first.last_analyze is not None
    assert first.last_vacuum is None
    with engine.begin() as connection:
        connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
        connection.execute(sa.text("DELETE FROM progress_marks WHERE name > 'mark 2'"))
    [row] = [row for row in optimise(engine, NOON.replace(minute=1)) if row["name"] == "progress_marks"]
    assert row["action"] == "vacuum"
    then = books(engine, "progress_marks")
    assert then.last_analyze > first.last_analyze
    assert then.last_vacuum is not None
    assert then.n_dead_tup == 0
    with engine.connect() as connection:
        assert "progress_marks" not in {need.name for need in needs(connection)}
        assert len(connection.execute(sa.select(database_optimisation)).all()) >= 2


def test_parents_of_partitions_get_statistics_once_a_day(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        ensure_days(connection, "raw_payloads", [utc_day(NOON)])
    found = {row["name"]: row for row in optimise(engine, NOON)}
    assert "partitioned" in str(found["raw_payloads"]["reason"])
    assert books(engine, "raw_payloads").last_analyze is not None
    # One without a day has no rows.
    assert "token_metrics" not in found
    assert "raw_payloads" not in {row["name"] for row in optimise(engine, NOON.replace(minute=1))}


def test_a_table_that_somebody_holds_is_skipped(engine: sa.Engine) -> None:
    fill(engine, 3_000)
    with engine.begin() as holder:
        holder.execute(sa.text("LOCK TABLE progress_marks IN ACCESS EXCLUSIVE MODE"))
        rows = {row["name"]: row["action"] for row in optimise(engine, NOON)}
    assert rows["progress_marks"] == "skipped"
    assert books(engine, "progress_marks").last_analyze is None


def test_everything_means_every_table(engine: sa.Engine) -> None:
    rows = {row["name"]: row["action"] for row in optimise(engine, NOON, everything=True)}
    assert rows["tokens"] == rows["alarms"] == "vacuum"
    assert rows["candles"] == "analyze"
    assert "skipped" not in rows.values()
    # The pool's connection is given back as it was.
    with engine.connect() as connection:
        assert connection.execute(sa.text("SHOW lock_timeout")).scalar_one() == "0"
