"""What the stream counts for whoever reads the figures: frames, rows and lags, each once, whatever failed in between."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from metapulse_assets.market.stream import writing
from metapulse_assets.market.stream.writing import FRAMES_METRIC, LAG_METRIC, ROWS_METRIC
from metapulse_assets.platform.tables import metric_totals
from metapulse_assets_tests.market.stream_frames import create, trade
from metapulse_assets_tests.market.test_stream_writing import Writing


def totals(engine: sa.Engine) -> dict[Any, float]:
    """Totals by metric, and table where there is one."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(metric_totals)).all()
    return {(row.metric, row.labels["table"]) if "table" in row.labels else row.metric: row.total for row in rows}


def test_every_frame_and_row_is_counted_once(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "TOTALS_SECONDS", 0.0)
    it = Writing(engine, tmp_path)
    it.write(create(1), create(2), trade(3))
    it.write(create(1), trade(4))
    it.write(create(1), trade(4))
    assert totals(engine)[FRAMES_METRIC] == 5, "the third batch's bytes were stored before"

    with pytest.MonkeyPatch.context() as broken:
        broken.setattr(writing, "set_progress", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            it.write(create(9))
    it.writer.beat()

    found = totals(engine)
    assert found[FRAMES_METRIC] == 5
    assert found[ROWS_METRIC, "token_launches"] == 2
    assert found[ROWS_METRIC, "token_trades"] == 2
    assert found[f"{LAG_METRIC}_sum"] == pytest.approx(4 * 0.2, abs=0.001)
    with engine.connect() as connection:
        ranges = connection.execute(sa.select(metric_totals.c.total).where(metric_totals.c.metric == LAG_METRIC)).scalars()
        assert sum(ranges) == 4
