"""Dead letters, clean-up, statistics, the lines of a queue's life, and the schema of PgQueuer."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import sqlalchemy as sa

from metapulse_assets.platform.settings import Settings
from metapulse_assets.platform.work_queue import failed_jobs, pausing, pgqueuer_schema
from metapulse_assets.platform.work_queue.enqueueing import NewJob, enqueue, enqueue_many
from metapulse_assets.platform.work_queue.lifecycle import Follower
from metapulse_assets.platform.work_queue.policies import Policy
from metapulse_assets.platform.work_queue.registry import UnknownJobType
from metapulse_assets.platform.work_queue.retention import clean_up
from metapulse_assets.platform.work_queue.statistics import QueueCounts, count_jobs, history, state_of
from metapulse_assets_tests.platform.queue_running import change, fetch, work

MakeSettings = Callable[..., Settings]
# As the older service's document has it.
DEAD_PAYMENTS = """SELECT * FROM failed_jobs
WHERE job_type = 'payment'
ORDER BY failed_at DESC;
"""


def test_the_older_services_statement_lists_dead_letters_newest_first(engine: sa.Engine, database_url: str) -> None:
    change(
        engine,
        "INSERT INTO failed_jobs (job_type, job_data, error_message, failed_at) VALUES "
        "('payment', '{\"n\": 1}', 'old', now() - interval '1 day'), ('payment', '{\"n\": 2}', 'new', now()), "
        "('x', '{}', '', now())",
    )
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(DEAD_PAYMENTS)
        assert cursor.description is not None
        assert [column.name for column in cursor.description][:5] == [
            "id",
            "job_type",
            "job_data",
            "error_message",
            "failed_at",
        ]
        assert [row[2:4] for row in cursor.fetchall()] == [({"n": 2}, "new"), ({"n": 1}, "old")]


def test_a_dead_letter_is_put_in_again_once(engine: sa.Engine, make_settings: MakeSettings) -> None:
    with engine.begin() as connection:
        job_id = enqueue(connection, "t-hasty", {"failures": 3, "note": "x"}).job_id
    work(make_settings(), "t-hasty")
    with engine.begin() as connection:
        (dead,) = failed_jobs.list_failed(connection)
        assert (dead.job_id, dead.attempts, dead.job_data) == (job_id, 3, {"failures": 3, "note": "x"})
        assert state_of(connection, job_id) == "failed"
        # The cause is gone …
        connection.execute(sa.text("UPDATE failed_jobs SET job_data = '{\"failures\": 0}'"))
        again = failed_jobs.retry(connection, dead.id)
    work(make_settings(), "t-hasty")
    with engine.begin() as connection:
        assert state_of(connection, again) == "completed"
        assert failed_jobs.list_failed(connection) == []
        (marked,) = failed_jobs.list_failed(connection, retried_too=True)
        assert marked.retried_as == again
        assert marked.retried_at is not None
        with pytest.raises(failed_jobs.FailedJobError, match=f"dead letter {dead.id} was put in again as job {again}"):
            failed_jobs.retry(connection, dead.id)
        with pytest.raises(failed_jobs.FailedJobError, match="there is no dead letter 99"):
            failed_jobs.retry(connection, 99)


def test_all_dead_letters_of_a_queue_are_put_in_again_or_dropped(engine: sa.Engine) -> None:
    dead = "INSERT INTO failed_jobs (job_type, job_data, error_message) VALUES (:queue, '{\"note\": \"x\"}', 'e')"
    for queue in ("t-noop", "t-noop", "t-echo", "gone-since"):
        change(engine, dead, queue=queue)
    with engine.begin() as connection:
        assert len(failed_jobs.retry_all(connection, "t-noop")) == 2
        assert failed_jobs.retry_all(connection, "t-noop") == []
    with engine.begin() as connection, pytest.raises(UnknownJobType, match="gone-since"):
        failed_jobs.retry_all(connection)
    with engine.begin() as connection:
        assert [one.job_type for one in failed_jobs.list_failed(connection)] == ["gone-since", "t-echo"]
        assert [one.job_type for one in failed_jobs.list_failed(connection, "t-echo")] == ["t-echo"]
        failed_jobs.drop(connection, failed_jobs.list_failed(connection, "t-echo")[0].id)
        with pytest.raises(failed_jobs.FailedJobError):
            failed_jobs.drop(connection, 99)
        assert failed_jobs.drop_all(connection, "t-noop") == 2
        assert failed_jobs.drop_all(connection) == 1
    assert fetch(engine, "SELECT entrypoint FROM pgqueuer.pgqueuer") == [("t-noop",)] * 2


def test_the_clean_up_leaves_the_last_finished_jobs(engine: sa.Engine) -> None:
    finished = (
        "INSERT INTO job_attempts (job_id, job_type, attempt, status, started_at, ended_at, worker) "
        "SELECT :first + n, :queue, 1, :status, now(), now() + n * interval '1 second', 'w' "
        "FROM generate_series(1, :count) AS n"
    )
    change(engine, finished, first=0, queue="a", status="completed", count=130)
    change(engine, finished, first=1000, queue="a", status="retried", count=70)
    change(engine, finished, first=1000, queue="a", status="failed", count=70)
    change(engine, finished, first=2000, queue="b", status="completed", count=101)
    change(engine, finished, first=3000, queue="c", status="failed", count=60)
    # One that is still to come again, and one whose worker is at it.
    with engine.begin() as connection:
        open_job = enqueue(connection, "t-noop", {}).job_id + 0
    change(engine, "UPDATE pgqueuer.pgqueuer SET id = 5001")
    change(engine, finished, first=5000, queue="a", status="retried", count=1)
    change(engine, finished.replace("now() + n * interval '1 second'", "NULL"), first=6000, queue="a", status="active", count=1)
    for queue, count in (("a", 70), ("c", 60)):
        dead = (
            "INSERT INTO failed_jobs (job_type, job_data, error_message, failed_at, retried_at) "
            "SELECT :queue, '{}', n::text, now() + n * interval '1 second', CASE WHEN n > 60 THEN now() END "
            "FROM generate_series(1, :count) AS n"
        )
        change(engine, dead, queue=queue, count=count)
    with engine.begin() as connection:
        removed = clean_up(connection, {"c": Policy(keep_failed=None)}, timedelta(hours=1))
    assert open_job
    kept = fetch(engine, "SELECT job_type, status, count(*), min(job_id) FROM job_attempts GROUP BY 1, 2 ORDER BY 1, 2")
    assert kept == [
        ("a", "active", 1, 6001),
        ("a", "completed", 100, 31),
        ("a", "failed", 50, 1021),
        ("a", "retried", 51, 1021),
        ("b", "completed", 100, 2002),
        ("c", "failed", 60, 3001),
    ]
    assert removed.attempts == 30 + 20 + 20 + 1
    # Those that nobody put in again are kept before those that somebody did.
    left = fetch(
        engine,
        "SELECT job_type, count(*), min(error_message::int), max(error_message::int) FROM failed_jobs GROUP BY 1 ORDER BY 1",
    )
    assert left == [("a", 50, 11, 60), ("c", 60, 1, 60)]
    assert (removed.failed_jobs, removed.log_lines) == (20, 0)
    with engine.begin() as connection:
        assert clean_up(connection, {}, timedelta(0)).log_lines == 1


def test_statistics_by_queue_and_state(engine: sa.Engine, make_settings: MakeSettings) -> None:
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {})] * 3)
        enqueue(connection, "t-hopeless", {})
    work(make_settings())
    with engine.begin() as connection:
        enqueue_many(connection, [NewJob("t-noop", {}), NewJob("t-noop", {}, delay=timedelta(hours=1)), NewJob("t-echo", {})])
        enqueue_many(connection, [NewJob("t-slow", {})] * 2)
        pausing.pause(connection, "t-echo")
        pausing.pause(connection, "t-limited")
        connection.execute(
            sa.text("UPDATE pgqueuer.pgqueuer SET status = 'picked' WHERE id = (SELECT max(id) FROM pgqueuer.pgqueuer)")
        )
        assert count_jobs(connection, ["t-story"]) == [
            QueueCounts("t-echo", paused=1, is_paused=True),
            QueueCounts("t-hopeless", failed=1),
            QueueCounts("t-limited", is_paused=True),
            QueueCounts("t-noop", waiting=1, completed=3, delayed=1),
            QueueCounts("t-slow", waiting=1, active=1),
            QueueCounts("t-story"),
        ]
        pausing.pause(connection)
        assert {counts.is_paused for counts in count_jobs(connection)} == {True}
        assert [row.job_type for row in history(connection, queue="t-hopeless")] == ["t-hopeless"]
        assert state_of(connection, 10_000) is None


def test_a_follower_sees_each_line_once_and_late_ones_too(engine: sa.Engine, make_settings: MakeSettings) -> None:
    with engine.begin() as connection:
        job = enqueue(connection, "t-hasty", {"failures": 1, "message": "no luck"}).job_id
        enqueue(connection, "t-noop", {})
    follower, late_comer = Follower("t-hasty", 0), Follower("t-hasty", 2)
    with engine.begin() as connection:
        assert follower.read(connection) == []
    # Numbered before what follows, visible after it.
    with engine.connect() as slow:
        canceled_later = enqueue(slow, "t-hasty", {}).job_id
        work(make_settings(), "t-hasty", "t-noop")
        with engine.begin() as connection:
            lines = follower.read(connection)
            assert follower.read(connection) == []
        slow.commit()
    with engine.begin() as connection:
        assert [(line.job_id, line.event) for line in follower.read(connection)] == [(canceled_later, "waiting")]
        assert [line.event for line in late_comer.read(connection)] == ["active", "completed"]
    assert [(line.job_id, line.event, line.error) for line in lines] == [
        (job, "active", None),
        (job, "retried", "ConnectionError: no luck"),
        (job, "active", None),
        (job, "completed", None),
    ]
    assert lines[1].text().endswith(f"  t-hasty #{job} retried: ConnectionError: no luck")
    assert datetime.fromisoformat(str(lines[1].as_json()["time"])) <= datetime.now(UTC)


def test_the_schema_is_the_installed_releases(database_url: str) -> None:
    from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
    from pgqueuer.queries import Queries

    async def plan() -> tuple[str, ...]:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            queries = Queries.from_psycopg_connection(connection)
            queries.qbe = QueryBuilderEnvironment(pgqueuer_schema.pgqueuer_settings())
            return tuple((await queries.plan_upgrade()).statements)

    assert asyncio.run(plan()) == ()


def test_the_schema_heeds_no_variable_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from pgqueuer.domain.settings import DBSettings

    names = ("PREFIX", "SCHEMA", "CHANNEL", "QUEUE_TABLE", "FUNCTION", "DURABILITY")
    before = pgqueuer_schema.install_sql()
    for name in names:
        monkeypatch.setenv(f"PGQUEUER_{name}", "volatile" if name == "DURABILITY" else "other_")
    pgqueuer_schema.pgqueuer_settings.cache_clear()
    assert DBSettings().queue_table == "other_"
    assert pgqueuer_schema.install_sql() == before
    assert f"CREATE TABLE {pgqueuer_schema.QUEUE_TABLE} " in before
