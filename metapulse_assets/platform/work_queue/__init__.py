"""The work queue: one item with a side effect, or one entity to refresh, done within a second, by workers.

PgQueuer's tables and statements in PostgreSQL carry it; here is what we add: handlers and policies (`registry`, `policies`),
putting in (`enqueueing`), the worker (`worker`), its ledger (`claiming`, `settling`), dead letters (`failed_jobs`), pausing,
and what is known of it: one job (`finding`), workers (`living`), counts (`statistics`), totals since the beginning
(`totals`). What a job does belongs into the `jobs.py` of a domain. Nothing here imports Dagster.
"""
