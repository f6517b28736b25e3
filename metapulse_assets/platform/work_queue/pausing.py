"""Pausing and resuming queues: read by every claim, so that it holds for all workers from the next one on."""

from metapulse_assets.platform.work_queue.enqueueing import Connection, execute
from metapulse_assets.platform.work_queue.pgqueuer_schema import CHANNEL

# Stands for every queue.
ALL = "*"


def pause(connection: Connection, queue: str = ALL) -> bool:
    """Claim nothing of a queue, or of any, from the commit on; jobs that run go on. False if it was paused already."""
    sql = "INSERT INTO paused_queues (queue) VALUES (%(queue)s) ON CONFLICT DO NOTHING RETURNING queue"
    return bool(execute(connection, sql, {"queue": queue}))


def resume(connection: Connection, queue: str = ALL) -> bool:
    """Claim again; `*` lifts every pause. False if nothing of the kind was paused."""
    sql = (
        "WITH gone AS (DELETE FROM paused_queues WHERE queue = %(queue)s OR %(queue)s = %(all)s RETURNING queue) "
        "SELECT queue, pg_notify(%(channel)s, json_build_object('channel', %(channel)s::text, 'sent_at', now(), "
        "'type', 'table_changed_event', 'operation', 'update', 'table', 'paused_queues')::text) FROM gone"
    )
    return bool(execute(connection, sql, {"queue": queue, "all": ALL, "channel": CHANNEL}))


def paused(connection: Connection) -> set[str]:
    """What is paused: names of queues, or `*`."""
    return {row[0] for row in execute(connection, "SELECT queue FROM paused_queues", {})}
