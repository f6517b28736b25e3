"""Progress marks: kept with the transaction, one a name."""

from datetime import UTC, datetime

import sqlalchemy as sa

from metapulse_assets.platform.progress import progress_of, set_progress

FIRST, SECOND = datetime(2026, 3, 4, 12, tzinfo=UTC), datetime(2026, 3, 4, 11, tzinfo=UTC)


def test_marks_are_kept_by_name_and_the_last_word_counts(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        assert progress_of(connection, "candles:5m") is None
        set_progress(connection, "candles:5m", FIRST)
        set_progress(connection, "candles:1h", FIRST)
        set_progress(connection, "candles:5m", SECOND)
    with engine.connect() as connection:
        assert progress_of(connection, "candles:5m") == SECOND
        assert progress_of(connection, "candles:1h") == FIRST


def test_a_mark_goes_with_the_work_it_is_about(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        set_progress(connection, "candles:5m", FIRST)
        connection.rollback()
        assert progress_of(connection, "candles:5m") is None
