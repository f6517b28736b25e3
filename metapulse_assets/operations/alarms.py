"""What people must know of, and that each is told once while it lasts.

Conditions are levels: what is wrong now, whatever was before. A condition without an open alarm opens one; with one, it only
keeps it alive; an alarm that has not been seen for a while is over, and the condition's return opens a new one. So nothing
repeats while it lasts, however often it is looked at. Whoever delivers alarms takes rows without `delivered_at`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on, insert

from metapulse_assets.operations.health import HealthRow
from metapulse_assets.operations.job_history import ENGINE
from metapulse_assets.operations.queue_measuring import MANY_DEAD_LETTERS, QueueRow
from metapulse_assets.operations.tables import alarms, job_logs

Severity = Literal["warning", "error"]

CALM = timedelta(minutes=5)
"""So long must a condition be away before its alarm is over: one that flickers is one alarm. Own choice."""
LONGEST_TEXT = 2_000
LONGEST_NAME = 200
"""Of a queue in a key: by SQL it may be called anything, and the index of the keys takes at most 2704 bytes."""
TOLD_ELSEWHERE = {("health_metrics", "nothing_fails")}
"""Checks that repeat what has alarms of its own."""
GRAPH_PREFIXES = ("check_failed:", "stale:")
"""Alarms that come from what Dagster knows of checks and assets."""
QUEUE_PREFIXES = ("queue_stuck:", "queue_letters:")
"""Alarms that come from the measurements of the work queue."""
HEALTH_PREFIXES = ("breaker_open:", "dead_letters:", "health:")
"""Alarms that come from measurements: without one, nothing can be said of them."""


@dataclass(frozen=True)
class Condition:
    """Something that is wrong now. `text` says what, and names the cure."""

    key: str
    severity: Severity
    text: str


@dataclass(frozen=True)
class FailedCheck:
    """A check whose newest execution did not pass."""

    asset: str
    check: str
    is_error: bool
    run_id: str


@dataclass(frozen=True)
class Changes:
    """What an evaluation changed: keys of alarms opened and resolved, and how many last."""

    opened: tuple[str, ...]
    resolved: tuple[str, ...]
    lasting: int


def evaluate(
    connection: sa.Connection, conditions: Iterable[Condition], now: datetime, undecided: Collection[str] = ()
) -> Changes:
    """Bring the alarms in line with everything that is wrong now.

    `undecided`: keys of which nothing can be said at the moment, as of a check that is running; their alarms stay as they are.
    """
    opened = observe(connection, conditions, now)
    a = alarms.c
    resolved = connection.execute(
        sa.update(alarms)
        .where(a.resolved_at.is_(None), a.last_seen <= now - CALM, a.key.not_in(list(undecided)))
        .values(resolved_at=now)
        .returning(a.key)
    ).scalars()
    gone = tuple(sorted(resolved))
    lasting = connection.execute(sa.select(sa.func.count()).select_from(alarms).where(a.resolved_at.is_(None))).scalar_one()
    return Changes(opened, gone, lasting)


def observe(connection: sa.Connection, conditions: Iterable[Condition], now: datetime) -> tuple[str, ...]:
    """Open or keep alive the alarms of these conditions, and leave all others alone; returns the keys opened."""
    by_key = {condition.key: condition for condition in conditions}
    if not by_key:
        return ()
    statement = insert(alarms).values(
        [
            {
                "key": condition.key,
                "severity": condition.severity,
                "text": condition.text.replace("\x00", "")[:LONGEST_TEXT],
                "first_seen": now,
                "last_seen": now,
                "count": 1,
            }
            # In one order, so that two processes do not wait for each other.
            for condition in sorted(by_key.values(), key=lambda condition: condition.key)
        ]
    )
    new = statement.excluded
    rows = connection.execute(
        statement.on_conflict_do_update(
            index_elements=["key"],
            index_where=alarms.c.resolved_at.is_(None),
            set_={
                "severity": new.severity,
                "text": new.text,
                "last_seen": sa.func.greatest(alarms.c.last_seen, new.last_seen),
                "count": alarms.c.count + 1,
            },
        ).returning(alarms.c.key, alarms.c.count.label("times"))
    ).all()
    return tuple(sorted(row.key for row in rows if row.times == 1))


def open_keys(connection: sa.Connection, *prefixes: str) -> set[str]:
    """Keys of the open alarms that begin with one of these words."""
    found = connection.execute(sa.select(alarms.c.key).where(alarms.c.resolved_at.is_(None))).scalars()
    return {key for key in found if key.startswith(prefixes)}


def mark_delivered(connection: sa.Connection, alarm_ids: Collection[int], now: datetime) -> int:
    """Note that people were told of these alarms; returns how many had not been delivered yet."""
    a = alarms.c
    statement = sa.update(alarms).where(a.alarm_id.in_(list(alarm_ids)), a.delivered_at.is_(None)).values(delivered_at=now)
    return connection.execute(statement).rowcount


def failed_runs(connection: sa.Connection) -> list[Condition]:
    """Jobs whose newest ended run failed."""
    j = job_logs.c
    newest = (
        sa.select(j.job, j.status, j.error, j.run_id, j.job_id, j.ended_at)
        # What becomes of the queue's jobs is told by its measurements and dead letters.
        .where(j.engine == ENGINE, j.ended_at.is_not(None), j.status != "canceled")
        .ext(distinct_on(j.job))
        .order_by(j.job, j.ended_at.desc())
        .subquery()
    )
    rows = connection.execute(sa.select(newest).where(newest.c.status == "failure").order_by(newest.c.job))
    return [run_failed(row.job, row.run_id or row.job_id, row.error) for row in rows]


def run_failed(job: str, run_id: str, error: str | None) -> Condition:
    """That the newest run of a job failed."""
    cure = f"open the run {run_id} in Dagster's pages; the next run goes on from where this one stopped"
    return Condition(f"run_failed:{job}", "error", f"{job} failed: {error or 'no error was recorded'}; {cure}")


def failed_checks(found: Sequence[FailedCheck]) -> list[Condition]:
    """A condition for each check that does not pass."""
    return [
        Condition(
            check_key(one.asset, one.check),
            "error" if one.is_error else "warning",
            f"the check {one.check} of {one.asset} does not pass: its page in Dagster names the rows;"
            f" correct what made them and run {one.asset} again (run {one.run_id})",
        )
        for one in found
        if (one.asset, one.check) not in TOLD_ELSEWHERE
    ]


def check_key(asset: str, check: str) -> str:
    """The alarm's key for a check."""
    return f"check_failed:{asset}:{check}"


def stale_assets(stale: Collection[str], parents: Mapping[str, Collection[str]]) -> list[Condition]:
    """A condition for each stale asset that has no stale one above it: what follows from those is stale with them.

    `parents`: the assets that each is made from.
    """
    above = {name: _ancestors(name, parents) for name in stale}
    roots = [name for name in sorted(stale) if not above[name] & set(stale)]
    found = []
    for root in roots:
        following = sum(root in above[name] for name in stale)
        others = f", and with it {following} assets made from it" if following else ""
        text = (
            f"{root} has not been brought up to date in time{others}: see its newest run,"
            " and whether the schedules are on (`metapulse up`)"
        )
        found.append(Condition(f"stale:{root}", "error", text))
    return found


def _ancestors(name: str, parents: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    wanted = list(parents.get(name, ()))
    while wanted:
        one = wanted.pop()
        if one not in found:
            found.add(one)
            wanted += parents.get(one, ())
    return found - {name}


def of_health(rows: Iterable[HealthRow]) -> list[Condition]:
    """Measurements that fail, and warnings of dead letters; ages of data and failed jobs have alarms of their own."""
    found = []
    for row in rows:
        if row.status == "ok" or row.reason is None or row.service in ("data", "jobs"):
            continue
        if row.metric == "breaker":
            # A probe is under way: the vendor is not back yet.
            found.append(Condition(f"breaker_open:{row.service}", "error", row.reason))
        elif row.service == "dead_letters":
            source = row.metric.removesuffix(".last_hour")
            found.append(Condition(f"dead_letters:{source}", "error" if row.status == "fail" else "warning", row.reason))
        elif row.status == "fail":
            found.append(Condition(f"health:{row.service}:{row.metric}", "error", row.reason))
    return found


def of_queues(rows: Iterable[QueueRow]) -> list[Condition]:
    """Queues whose due jobs nobody begins, and those with many dead letters."""
    found = []
    for row in rows:
        if row.is_stuck:
            text = (
                f"{row.waiting} jobs of the queue {row.queue} are due, the oldest for {row.oldest_waiting_seconds:.0f} s,"
                " and none is being worked on: `metapulse doctor` says why; `metapulse worker` starts a worker"
            )
            found.append(Condition(f"queue_stuck:{row.queue[:LONGEST_NAME]}", "error", text))
        if row.dead_letters >= MANY_DEAD_LETTERS:
            text = (
                f"the queue {row.queue} has {row.dead_letters} dead letters:"
                f" `metapulse dlq list --queue {row.queue}` shows why, `metapulse dlq retry` puts them in again"
            )
            found.append(Condition(f"queue_letters:{row.queue[:LONGEST_NAME]}", "warning", text))
    return found
