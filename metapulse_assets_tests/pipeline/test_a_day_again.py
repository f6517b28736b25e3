"""A day that was lived through with posts and models, made again from stored rows: the same, without asking anybody."""

from datetime import timedelta

import sqlalchemy as sa

from metapulse_assets_tests.pipeline.conftest import TICK, World

MADE = (
    *("technical_analyses", "technical_signals", "risk_assessments", "mentions", "post_sentiments", "social_metrics"),
    *("trending_topics", "social_signals", "ai_analyses", "ai_signals", "combined_signals"),
)
# What is taken out before, by the column of time of each; posts of the days before keep what was made of them.
EMPTIED = {
    **dict.fromkeys(("mentions", "post_sentiments"), "observed_at"),
    **dict.fromkeys(("social_metrics", "trending_topics", "ai_analyses"), "as_of"),
    **dict.fromkeys(("social_signals", "ai_signals"), "opened_at"),
}


def test_it_comes_out_equal_from_the_store_at_no_cost(new_world: World) -> None:
    for _ in range(2):
        new_world.tick(job_name="everything")
        new_world.move(TICK)
    day = new_world.now.date()
    lived = {table: new_world.rows(table) for table in (*MADE, "signals", "ai_requests", "ai_answers", "social_posts")}
    assert lived["ai_analyses"]
    assert lived["social_metrics"]
    assert len({row[2] for row in new_world.rows("signals", "1, 2, kind")}) >= 2

    new_world.move(timedelta(hours=24))
    with new_world.platform.engine.begin() as connection:
        for table, column in EMPTIED.items():
            connection.execute(sa.text(f"DELETE FROM {table} WHERE {column} >= '{day}'"))
    new_world.sandbox.clear_requests()
    new_world.backfill(day, day, job_name="replay")

    assert new_world.sandbox.requests() == []
    for table in (*EMPTIED, "ai_requests", "ai_answers", "social_posts"):
        assert new_world.rows(table) == lived[table], f"{table} changed"
    # The day's own candle has closed since, and is usable from now on; what was there stays as it was.
    for table in (*MADE, "signals"):
        assert set(lived[table]) <= set(new_world.rows(table)), f"{table} lost or changed rows"
